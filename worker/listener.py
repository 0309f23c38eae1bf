"""The DICOM listener as a process; knows no torch and decodes no pixels."""

import threading

import structlog

from dicom_io.scp import StorageSCP
from dicom_io.types import ApplicationEntity
from worker.bootstrap import build_service
from worker.celery import wake
from worker.committing import CommitmentDesk
from worker.errors import ConfigurationError
from worker.intake import Intake
from worker.settings import Settings

_log = structlog.get_logger()


def listen(settings: Settings, stop: threading.Event) -> None:
    """Receive objects until `stop` is set.

    Raises:
        ConfigurationError: if the address cannot be bound or the database is of another level.
    """
    listener = settings.listener
    service = build_service(settings, wake)
    address = ApplicationEntity(listener.ae_title, listener.host, listener.port)
    commit = CommitmentDesk(service).take if settings.storage_commitment.enabled else None
    try:
        scp = StorageSCP(address, Intake(service).receive, allowed_callers=listener.allowed_callers, commit=commit)
    except OSError as error:
        raise ConfigurationError(
            f"listener: cannot listen on {listener.host}:{listener.port}: {error.strerror}; "
            "free the port, or change listener.host and listener.port"
        ) from error
    with scp:
        _log.info("listening", ae_title=listener.ae_title, host=listener.host, port=scp.port)
        stop.wait()
    service.database.dispose()
