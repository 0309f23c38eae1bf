"""Is a destination that speaks HTTP there? Asked without anything that it would file."""

import socket
from urllib.parse import urlsplit

from worker.delivery.dicomweb import authorization
from worker.delivery.http import exchange
from worker.delivery.http_answer import Answer, HttpDestination, origin, require_success
from worker.delivery.patience import require_patience
from worker.delivery.tls import client_context
from worker.destinations import DicomwebDestination, WebhookDestination
from worker.errors import DeliveryRefusedError, DestinationDownError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NO_QIDO = frozenset((400, 404, 405, 406, 501))


def reach(destination: HttpDestination, *, timeout_seconds: float) -> str:
    """Reach a destination: a webhook by a connection alone, a DICOMweb service by asking for one study.

    Returns:
        What it answered.

    Raises:
        DestinationDownError: if it cannot be reached, does not trust us or is not trusted, or does not let us in.
    """
    hasty = destination.model_copy(update={"timeout_seconds": timeout_seconds})
    return _search(hasty) if isinstance(hasty, DicomwebDestination) else _connect(hasty)


def _connect(destination: WebhookDestination) -> str:
    parts, seconds = urlsplit(destination.url), destination.timeout_seconds
    context = client_context(destination.tls) if parts.scheme == "https" else None
    host = parts.hostname or ""
    try:
        with socket.create_connection((host, parts.port or _DEFAULT_PORTS[parts.scheme]), timeout=seconds) as plain:
            if context is None:
                require_patience(plain, origin(destination))
            else:
                with context.wrap_socket(plain, server_hostname=host) as secured:
                    require_patience(secured, origin(destination))
    except OSError as error:
        failure = context and context.failure
        reason = f"TLS: {failure}" if failure else error.strerror or "no answer in time"
        raise DestinationDownError(f"{origin(destination)}: {reason}") from error
    return f"{origin(destination)} takes connections; nothing was posted"


def _search(destination: DicomwebDestination) -> str:
    """Source: QIDO-RS, PS3.18 10.6."""
    with exchange(destination, {"Accept": "application/dicom+json", **authorization(destination)}) as session:
        url = f"{destination.url.rstrip('/')}/studies"
        answer = Answer.of(session.get(url, params={"limit": "1"}))
    where = origin(destination)
    if answer.status in _NO_QIDO:
        return f"{where} gives no answer to QIDO-RS (status {answer.status}); STOW-RS may work"
    try:
        require_success(answer, destination)
    except DeliveryRefusedError as error:
        raise DestinationDownError(str(error)) from error
    return f"{where} answers QIDO-RS, status {answer.status}"
