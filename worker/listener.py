"""The DICOM listener as a process; knows no torch and decodes no pixels."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import structlog

from dicom_io.scp import StorageSCP
from dicom_io.shared_port import reserve
from dicom_io.types import ApplicationEntity
from worker.bootstrap import build_service
from worker.celery import wake
from worker.errors import ConfigurationError
from worker.intake import Intake
from worker.sections import ListenerSettings
from worker.settings import Settings

_log = structlog.get_logger()


def listen(settings: Settings, stop: threading.Event, *, share_port: bool = False) -> None:
    """Receive objects until `stop` is set.

    Args:
        settings: of the service.
        stop: ends it.
        share_port: be one of several processes on a port that `reserve_port` holds.

    Raises:
        ConfigurationError: if the address cannot be bound or the database is of another level.
    """
    listener = settings.listener
    service = build_service(settings, wake)
    address = ApplicationEntity(listener.ae_title, listener.host, listener.port)
    try:
        scp = StorageSCP(
            address, Intake(service).receive, allowed_callers=listener.allowed_callers, share_port=share_port
        )
    except OSError as error:
        raise _cannot_listen(listener, error) from error
    with scp:
        _log.info("listening", ae_title=listener.ae_title, host=listener.host, port=scp.port)
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


def _cannot_listen(listener: ListenerSettings, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"listener: cannot listen on {listener.host}:{listener.port}: {error.strerror}; "
        "free the port, or change listener.host and listener.port"
    )
