"""HTTP towards a destination: one request, one answer of limited size, within a limit of time."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from importlib.metadata import version
from io import BytesIO
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError as Urllib3Error

from dicom_io.tls import describe
from worker.delivery.deadline import Deadline
from worker.delivery.http_answer import LONGEST_ANSWER, HttpDestination, origin
from worker.delivery.tls import client_context
from worker.errors import DestinationDownError


class _Connection(HTTPConnection):
    def __init__(self, *args: Any, deadline: Deadline, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline = deadline

    def connect(self) -> None:
        super().connect()
        self._deadline.watch(self.sock)


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Adapter(HTTPAdapter):
    """Sends a request by our own TLS settings, and reads the start of the answer before the deadline."""

    def __init__(self, deadline: Deadline, context: ssl.SSLContext | None) -> None:
        self._deadline, self._context = deadline, context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def cert_verify(self, *_: Any) -> None:
        """Leave the context as it is: requests would add the authorities of certifi to it."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        kind = _Connection if self._context is None else _SecureConnection
        pool.ConnectionCls = partial(kind, deadline=self._deadline)
        return pool

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        request.headers.pop("Host", None)  # dicomweb-client's lacks the port; http.client writes it whole
        response = super().send(request, stream=True, timeout=self._deadline.seconds)
        start = _read_start(response)
        if self._deadline.expired:  # an answer without a length ends with its connection, also where we ended that
            raise requests.Timeout
        response.raw = BytesIO(start)
        return response


def _read_start(response: requests.Response) -> bytes:
    try:
        start: bytes = response.raw.read(LONGEST_ANSWER, decode_content=True)
    except ValueError as error:  # urllib3's of a chunk that says that it is shorter than nothing
        raise requests.exceptions.ChunkedEncodingError from error
    finally:
        response.raw.close()
    return start


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow none: a flag goes where the settings say."""


@contextmanager
def exchange(destination: HttpDestination, headers: Mapping[str, str | bytes]) -> Iterator[requests.Session]:
    """Open a session for one request.

    It follows no redirect, keeps nothing for a later request, asks the environment for neither proxy nor password, and
    reads `LONGEST_ANSWER` bytes of the answer at most. It ends after `timeout_seconds`; only connecting may take
    longer: each address of the host, and the TLS handshake, has as much time.

    Args:
        destination: for whose URL the session is.
        headers: of every request.

    Raises:
        DestinationDownError: if the server cannot be reached, its certificate is not trusted, our own TLS files cannot
            be used, or it gives no whole answer in time.
    """
    context = client_context(destination.tls) if destination.url.startswith("https:") else None
    with Deadline(destination.timeout_seconds) as deadline, _Session() as session:
        session.trust_env = False
        session.headers.clear()
        session.headers.update({"User-Agent": _user_agent(), "Accept-Encoding": "identity", "Connection": "close"})
        session.headers.update(headers)
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter(deadline, context))
        try:
            yield session
        except (requests.RequestException, Urllib3Error) as error:
            late = f"gave no whole answer within {deadline.seconds:g} s"
            failed_handshake = context and context.failure and f"TLS: {context.failure}"
            failure = late if deadline.expired else failed_handshake or _reason(error, late)
            # Without the cause: it quotes the whole URL, and a URL may hold a token.
            raise DestinationDownError(f"{origin(destination)}: {failure}") from None


@cache
def _user_agent() -> str:
    return f"cxr-triage/{version('cxr-triage')}"


def _reason(error: BaseException, late: str) -> str:
    """Say why there is no answer, without a library's words: they quote the URL."""
    link: BaseException | None = error
    while link is not None:
        error = link
        if isinstance(link, ssl.SSLError):
            return f"TLS: {describe(link)}"
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
        link = link.__cause__ or link.__context__ or _wrapped(link)
    return late if isinstance(error, TimeoutError) else f"no HTTP answer ({type(error).__name__})"


def _wrapped(error: BaseException) -> BaseException | None:
    """Return the exception that urllib3's was made of, which it neither chains nor names a cause."""
    inner = error.args[0] if error.args else None
    return inner if isinstance(inner, BaseException) else None
