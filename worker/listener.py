"""The DICOM listener as a process; knows no torch and decodes no pixels."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import structlog

from dicom_io.errors import TlsFilesError
from dicom_io.scp import StorageSCP
from dicom_io.shared_port import reserve
from worker.bootstrap import build_service
from worker.celery import wake
from worker.clocks import warn_of_clock
from worker.committed import CommitmentEar, asked_destinations
from worker.committing import CommitmentDesk
from worker.errors import ConfigurationError
from worker.intake import Intake
from worker.metrics.counting import counting
from worker.metrics.recorder import recording
from worker.sections import ListenerSettings
from worker.service import Service
from worker.settings import Settings

ANSWER_SECONDS = 10.0  # for a database that hangs: the sender, who waits, is then refused; as for one that is cut off
_log = structlog.get_logger()


def listen(settings: Settings, stop: threading.Event, *, number: int | None = None) -> None:
    """Receive objects until `stop` is set.

    Args:
        settings: of the service.
        stop: ends it.
        number: of this process, from 0, among several that share the port which `reserve_port` holds; None: the only
            one.

    Raises:
        ConfigurationError: if an address cannot be bound, a TLS file cannot be used, or the database is of another
            level.
    """
    listener = settings.listener
    service = build_service(settings, wake, answer_seconds=ANSWER_SECONDS)
    warn_of_clock(service)
    with (
        recording(settings.metrics_dir, "listener"),
        _provider(listener, service, share_port=number is not None) as scp,
    ):
        _log.info(
            "listening", ae_title=listener.ae_title, host=listener.host, port=scp.port, tls=listener.tls is not None
        )
        stop.wait()
    service.database.dispose()


@contextmanager
def reserve_port(listener: ListenerSettings) -> Iterator[None]:
    """Hold the port for the listener processes that share it, so that no second service gets a share.

    Raises:
        ConfigurationError: if somebody else has it.
    """
    with ExitStack() as held:
        try:
            held.enter_context(reserve(listener.host, listener.port))
        except OSError as error:
            raise _cannot_listen(listener, error) from error
        yield


def _provider(listener: ListenerSettings, service: Service, *, share_port: bool) -> StorageSCP:
    receive = Intake(service).receive
    commit = CommitmentDesk(service).take if service.settings.storage_commitment.enabled else None
    hear = CommitmentEar(service).hear if asked_destinations(service.settings) else None
    try:
        return StorageSCP(
            listener.entity,
            receive,
            access=listener.access,
            limits=listener.limits,
            observer=counting(),
            commit=commit,
            hear=hear,
            share_port=share_port,
        )
    except TlsFilesError as error:
        raise ConfigurationError(f"listener.tls: {error}") from error
    except OSError as error:
        raise _cannot_listen(listener, error) from error


def _cannot_listen(listener: ListenerSettings, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"listener: cannot listen on {listener.host}:{listener.port}: {error.strerror}; "
        "free the port, or change listener.host and listener.port"
    )
