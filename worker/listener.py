"""The DICOM listener as a process; knows no torch and decodes no pixels."""

import threading

import structlog

from dicom_io.errors import TlsFilesError
from dicom_io.scp import StorageSCP
from worker.bootstrap import build_service
from worker.celery import wake
from worker.errors import ConfigurationError
from worker.intake import Intake
from worker.metrics import counting, expose
from worker.sections import ListenerSettings
from worker.service import Service
from worker.settings import Settings

_log = structlog.get_logger()


def listen(settings: Settings, stop: threading.Event, *, number: int = 0) -> None:
    """Receive objects until `stop` is set.

    Args:
        settings: of the service.
        stop: ends it.
        number: of this process among several listeners, from 0.

    Raises:
        ConfigurationError: if an address cannot be bound, a TLS file cannot be used, or the database is of another
            level.
    """
    listener = settings.listener
    service = build_service(settings, wake)
    if listener.metrics_port is not None:
        expose(listener.metrics_port + number)
    with _provider(listener, service) as scp:
        _log.info(
            "listening", ae_title=listener.ae_title, host=listener.host, port=scp.port, tls=listener.tls is not None
        )
        stop.wait()
    service.database.dispose()


def _provider(listener: ListenerSettings, service: Service) -> StorageSCP:
    receive = Intake(service).receive
    try:
        return StorageSCP(listener.entity, receive, access=listener.access, limits=listener.limits, observer=counting())
    except TlsFilesError as error:
        raise ConfigurationError(f"listener.tls: {error}") from error
    except OSError as error:
        raise ConfigurationError(
            f"listener: cannot listen on {listener.host}:{listener.port}: {error.strerror}; "
            "free the port, or change listener.host and listener.port"
        ) from error
