"""The files of TLS, looked at before anything is started with them."""

from collections.abc import Iterator
from contextlib import contextmanager

from dicom_io.errors import TlsFilesError
from dicom_io.tls import calling_context, client_context, server_context
from worker.destinations import ClientTlsSettings, DicomDestination, FolderDestination
from worker.errors import ConfigurationError
from worker.sections import PeerSettings
from worker.settings import Settings


def require_certificates(settings: Settings) -> None:
    """Try the files of the listener, of every peer that is called, and of the broker.

    Raises:
        ConfigurationError: if one of them cannot be used; names the section, the file and what is wrong with it.
    """
    if settings.listener.tls is not None:
        with _named("listener.tls"):
            server_context(settings.listener.tls.security)
    for section, peer in _peers(settings):
        if peer.tls is not None:
            with _named(section):
                client_context(peer.tls.security)
    for section, tls in _servers(settings):
        with _named(section):
            calling_context(tls.authorities, tls.own)
    require_broker_files(settings)


def require_broker_files(settings: Settings) -> None:
    """Try the files that are used towards the broker, if any are.

    Raises:
        ConfigurationError: as `require_certificates`.
    """
    if settings.broker_tls != ClientTlsSettings():
        with _named("broker_tls"):
            calling_context(settings.broker_tls.authorities, settings.broker_tls.own)


@contextmanager
def _named(section: str) -> Iterator[None]:
    try:
        yield
    except TlsFilesError as error:
        raise ConfigurationError(f"{section}: {error}") from error


def _servers(settings: Settings) -> Iterator[tuple[str, ClientTlsSettings]]:
    for destination in settings.effective_destinations:
        if not isinstance(destination, FolderDestination) and isinstance(destination.tls, ClientTlsSettings):
            yield f"destination {destination.name}, tls", destination.tls


def _peers(settings: Settings) -> Iterator[tuple[str, PeerSettings]]:
    for destination in settings.effective_destinations:
        if isinstance(destination, DicomDestination):
            yield f"destination {destination.name}, tls", destination
    for caller in settings.storage_commitment.callers:
        yield f"storage_commitment, caller {caller.ae_title}, tls", caller
    if settings.reconciliation.pacs is not None:
        yield "reconciliation.pacs.tls", settings.reconciliation.pacs
