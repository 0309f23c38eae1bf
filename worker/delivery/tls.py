"""TLS towards a destination that speaks HL7 or HTTPS, by the same rules as DICOM TLS (`dicom_io.tls`)."""

from dicom_io.errors import TlsFilesError
from dicom_io.tls import ClientContext, calling_context
from worker.destinations import ClientTlsSettings
from worker.errors import DestinationDownError


def client_context(tls: ClientTlsSettings) -> ClientContext:
    """Make the context of a call: TLS 1.2 or 1.3, the server's certificate checked against authorities and host name.

    Returns:
        An `ssl.SSLContext` whose `failure` says why the last handshake failed.

    Raises:
        DestinationDownError: if a file is missing, is not PEM, does not belong to the other, or everybody can read the
            key; names the file.
    """
    try:
        return calling_context(tls.authorities, tls.own)
    except TlsFilesError as error:
        raise DestinationDownError(f"tls of the destination: {error}") from error
