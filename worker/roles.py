"""Does one process of the service work? What a container's or a pod's health check asks every half minute.

It is judged by what it does: the listener answers a C-ECHO, a worker has lately ended a task that came over the
broker, beat has lately sent one. What a restart would not mend, such as a broker that is away, is not held against it:
the whole way of a film is examined by `worker.doctor`.
"""

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum

from dicom_io.errors import PeerRejectedError
from dicom_io.scu import echo
from dicom_io.types import ApplicationEntity
from worker.finding import Finding, NotWellError, attempt
from worker.heartbeat import ages
from worker.sections import ListenerSettings
from worker.settings import Settings

ECHO_SECONDS = 5.0
CALLING_AE_TITLE = "CXRDOCTOR"
LOOPBACK = "127.0.0.1"


class Role(StrEnum):
    """What a process does."""

    LISTENER = "listener"
    PREPARE = "prepare"
    SCORE = "score"
    DELIVER = "deliver"
    BEAT = "beat"


def examine_role(role: Role, settings: Settings, broker_answers: Callable[[], bool]) -> Finding:
    """Examine the processes of one role on this host.

    Args:
        role: which.
        settings: those that they run with.
        broker_answers: tells whether the broker can be reached from here.
    """
    if role is Role.LISTENER:
        return attempt(role, lambda: _listener(settings.listener))
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
