"""Does one process of the service work? What a container's or a pod's health check asks every half minute.

It is judged by what it does: the listener answers a C-ECHO, the page shows its form to sign in, a worker has lately
ended a task that came over the broker, beat has lately sent one. What a restart would not mend, such as a broker that
is away, is not held against it: the whole way of a film is examined by `worker.doctor`.
"""

import ssl
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from enum import StrEnum
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from dicom_io.errors import PeerRejectedError
from dicom_io.scu import echo
from dicom_io.types import ApplicationEntity
from worker.finding import Finding, NotWellError, attempt
from worker.heartbeat import ages
from worker.sections import ListenerSettings
from worker.settings import Settings
from worker.web_section import WebSettings

ECHO_SECONDS = 5.0
PAGE_SECONDS = 10.0
CALLING_AE_TITLE = "CXRDOCTOR"
LOOPBACK = "127.0.0.1"


class Role(StrEnum):
    """What a process does."""

    LISTENER = "listener"
    PREPARE = "prepare"
    SCORE = "score"
    DELIVER = "deliver"
    BEAT = "beat"
    WEB = "web"


def examine_role(role: Role, settings: Settings, broker_answers: Callable[[], bool]) -> Finding:
    """Examine the processes of one role on this host.

    Args:
        role: which.
        settings: those that they run with.
        broker_answers: tells whether the broker can be reached from here.
    """
    if role is Role.LISTENER:
        return attempt(role, lambda: _listener(settings.listener))
    if role is Role.WEB:
        return attempt(role, lambda: _page(settings.web))
    return attempt(role, lambda: _heart(role, settings, broker_answers))


def own_entity(listener: ListenerSettings) -> ApplicationEntity:
    """Return the listener as it is called from its own host."""
    own = listener.entity
    host = LOOPBACK if listener.host == "0.0.0.0" else listener.host  # noqa: S104 - compared, not bound
    if own.tls is None:
        return replace(own, host=host)
    # Only the listener holds its own certificate, whatever host that names.
    return replace(own, host=host, tls=replace(own.tls, authorities=own.tls.certificate, host_checked=False))


def _listener(listener: ListenerSettings) -> str:
    own = own_entity(listener)
    if own.host == LOOPBACK and not listener.access.admits(LOOPBACK):
        raise NotWellError(f"listener.allowed_networks: the listener cannot be asked from its own host: add {LOOPBACK}")
    try:
        echo(own, calling_ae_title=_caller(listener), timeout_seconds=ECHO_SECONDS)
    except PeerRejectedError:  # it judged the request, which is an answer
        return f"{own.ae_title} answers on {own.host}:{own.port}, and has no room now"
    return f"{own.ae_title} answers on {own.host}:{own.port}"


def _caller(listener: ListenerSettings) -> str:
    return next(iter(listener.allowed_callers), CALLING_AE_TITLE)


def _page(web: WebSettings) -> str:
    host = LOOPBACK if web.host == "0.0.0.0" else web.host.strip("[]")  # noqa: S104 - compared, not bound
    place = f"{host}:{web.port}"
    try:
        with closing(_connection(web, host)) as connection:
            connection.request("GET", "/login")
            status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        raise NotWellError(f"the page does not answer on {place} ({type(error).__name__}): see its log") from error
    if status != HTTPStatus.OK:
        raise NotWellError(f"the page answers on {place} with HTTP {status}: see its log")
    return f"the page answers on {place}"


def _connection(web: WebSettings, host: str) -> HTTPConnection:
    if web.tls is None:
        return HTTPConnection(host, web.port, timeout=PAGE_SECONDS)
    # Only the page holds its own certificate, whatever host that names and whoever signed it.
    context = ssl.create_default_context(cafile=str(web.tls.certificate))
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return HTTPSConnection(host, web.port, timeout=PAGE_SECONDS, context=context)


def _heart(role: Role, settings: Settings, broker_answers: Callable[[], bool]) -> str:
    found = ages(settings.effective_health_dir, role)
    if not found:
        raise NotWellError(f"no {role} process has come up on this host: see its log")
    # A piece of work that outlasts its lease is another worker's by then.
    late = {node: age for node, age in found.items() if age > settings.lease_seconds}
    if not late:
        return f"{', '.join(found)}: at work {max(found.values()):.0f} s ago"
    if not broker_answers():
        return f"{', '.join(late)}: not proven, as the broker does not answer"
    node, age = max(late.items(), key=lambda item: item[1])
    raise NotWellError(f"{node} has done nothing for {age:.0f} s: it hangs, or was killed and not started again")
