"""The files of DICOM TLS, looked at before anything is started with them."""

from dicom_io.errors import TlsFilesError
from dicom_io.tls import client_context, server_context
from worker.errors import ConfigurationError
from worker.sections import DicomDestination
from worker.settings import Settings


def require_certificates(settings: Settings) -> None:
    """Try the files of the listener and of every destination.

    Raises:
        ConfigurationError: if one of them cannot be used; names the section, the file and what is wrong with it.
    """
    section = "listener.tls"
    try:
        if settings.listener.tls is not None:
            server_context(settings.listener.tls.security)
        for destination in settings.effective_destinations:
            section = f"destination {destination.name}, tls"
            if isinstance(destination, DicomDestination) and destination.tls is not None:
                client_context(destination.tls.security)
    except TlsFilesError as error:
        raise ConfigurationError(f"{section}: {error}") from error
