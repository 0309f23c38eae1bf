"""A connection that is made and over which nothing is said: is it left open?"""

import socket

from dicom_io.tls import describe
from worker.errors import DestinationDownError

PROBE_SECONDS = 0.3


def require_patience(connection: socket.socket, name: str) -> None:
    """Wait a moment for what must not come: in TLS 1.3 our certificate is refused after the handshake (RFC 8446 2).

    Args:
        connection: open, after its TLS handshake if it has one.
        name: of the destination, for the message.

    Raises:
        DestinationDownError: if the other side ends the connection.
    """
    connection.settimeout(PROBE_SECONDS)
    try:
        ended = not connection.recv(1)
    except TimeoutError:
        return
    except OSError as error:
        raise DestinationDownError(f"{name} ended the connection ({describe(error)})") from error
    if ended:
        raise DestinationDownError(f"{name} ended the connection at once: does it know this host?")
