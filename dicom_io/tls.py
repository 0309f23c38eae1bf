"""DICOM TLS: the BCP 195 profile of RFC 8996 and RFC 9325 (PS3.15 B.12).

TLS 1.2 and 1.3 only, ephemeral keys and authenticated encryption only, no compression, no renegotiation.
"""

import ssl
import stat
from pathlib import Path
from typing import Any

from dicom_io.errors import TlsFilesError
from dicom_io.types import TransportSecurity

# RFC 9325 4.2; those of TLS 1.3 are all of this kind. OpenSSL's level 2 refuses RSA keys below 2048 bits and SHA-1.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:@SECLEVEL=2"
_READABLE_BY_ALL = stat.S_IROTH


class ClientContext(ssl.SSLContext):
    """Remembers why a handshake failed: pynetdicom only says that there is no connection.

    Attributes:
        failure: of the last handshake, or None.
    """

    failure: str | None = None


class _ClientSocket(ssl.SSLSocket):
    def do_handshake(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().do_handshake(*args, **kwargs)
        except OSError as error:
            if isinstance(self.context, ClientContext):
                self.context.failure = describe(error)
            raise


def server_context(security: TransportSecurity) -> ssl.SSLContext:
    """Make the context of a listener; with authorities, every caller must show a certificate of theirs.

    Raises:
        TlsFilesError: if a file is missing, is not PEM, does not belong to the other, or the key is open to everybody.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    _load_own(context, security)
    if security.authorities is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        _load_authorities(context, security.authorities)
    return context


def client_context(security: TransportSecurity) -> ClientContext:
    """Make the context of a call: our own certificate, and the peer's is checked against the authorities.

    Without authorities, those of the operating system are asked. Its name must be the host's, unless `host_checked`
    is off.

    Raises:
        TlsFilesError: see `server_context`.
    """
    context = calling_context(security.authorities, security)
    context.check_hostname = security.host_checked
    return context


def calling_context(authorities: Path | None, own: TransportSecurity | None = None) -> ClientContext:
    """Make the context of a call to a server that may ask for no certificate; its name must be the host's.

    Args:
        authorities: PEM file of whom the server's certificate must come from; None: the operating system's.
        own: our certificate and its key; None: we have none to show.

    Raises:
        TlsFilesError: see `server_context`.
    """
    context = ClientContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = _ClientSocket
    _harden(context)
    if own is not None:
        _load_own(context, own)
    if authorities is None:
        context.load_default_certs()
    else:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a peer's own certificate may stand for its authority
        _load_authorities(context, authorities)
    return context


def describe(error: OSError) -> str:
    """Say in a few words why a handshake failed; names no certificate, whose subject may be a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return error.strerror or type(error).__name__


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(_CIPHERS)


def _load_own(context: ssl.SSLContext, security: TransportSecurity) -> None:
    _require_readable(security.certificate)
    _require_readable(security.key)
    if security.key.stat().st_mode & _READABLE_BY_ALL:
        raise TlsFilesError(f"{security.key}: everybody on this machine can read the private key; chmod 600 it")
    try:
        context.load_cert_chain(security.certificate, security.key, password=_no_password)
    except ssl.SSLError as error:
        reason = describe(error)
        raise TlsFilesError(
            f"{security.certificate} and {security.key}: no PEM certificate with its unencrypted key ({reason})"
        ) from error


def _load_authorities(context: ssl.SSLContext, authorities: Path) -> None:
    _require_readable(authorities)
    try:
        context.load_verify_locations(authorities)
    except ssl.SSLError as error:
        raise TlsFilesError(f"{authorities}: holds no PEM certificates ({describe(error)})") from error


def _require_readable(path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise TlsFilesError(f"{path}: {error.strerror}") from error


def _no_password() -> str:
    # OpenSSL would ask for the password of an encrypted key on the terminal, and wait.
    return ""
