"""Minimal Lower Layer Protocol: a block out, a block back, on a connection of its own (HL7 v2.5.1 appendix C)."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager

from dicom_io.tls import ClientContext, describe
from worker.delivery.patience import require_patience
from worker.delivery.tls import client_context
from worker.destinations import Hl7Destination
from worker.errors import DestinationDownError

START_BLOCK, END_BLOCK, CARRIAGE_RETURN = b"\x0b", b"\x1c", b"\r"
# An acknowledgement is a few hundred bytes.
MAX_ANSWER_BYTES = 64 << 10


def exchange(message: bytes, destination: Hl7Destination) -> bytes:
    """Send one message and wait for what is answered.

    The connection is made for this message and closed after it: there is no answer to an earlier one that could be
    taken for this one's, and no connection that a firewall has forgotten.

    Args:
        message: without its block characters; holds none of them.
        destination: where to, and how long to wait: for the connection, and again for the whole answer.

    Returns:
        What stands in the first block that comes back. What comes before a block is no part of it.

    Raises:
        DestinationDownError: if it cannot be reached, its certificate is not good, it closes the connection, or no
            whole block of at most `MAX_ANSWER_BYTES` comes in time.
    """
    with connected(destination) as connection:
        deadline = time.monotonic() + destination.timeout_seconds
        try:
            connection.settimeout(destination.timeout_seconds)
            connection.sendall(START_BLOCK + message + END_BLOCK + CARRIAGE_RETURN)
            return _read_block(connection, deadline, _name(destination))
        except OSError as error:
            raise DestinationDownError(f"{_name(destination)}: no answer ({describe(error)})") from error


def probe(destination: Hl7Destination) -> str:
    """Connect, with the TLS handshake where one is wanted, and hang up; nothing is sent that could be filed.

    Raises:
        DestinationDownError: if it cannot be reached, the handshake fails, or it ends the connection at once.
    """
    with connected(destination) as connection:
        require_patience(connection, _name(destination))
        how = "TCP" if destination.tls is None else "TLS"
        return f"{_name(destination)} takes connections by {how}"


@contextmanager
def connected(destination: Hl7Destination) -> Iterator[socket.socket]:
    """Connect, by TLS where the destination wants it; what is said there is the caller's business.

    Raises:
        DestinationDownError: if it cannot be reached, or the handshake fails.
    """
    context = None if destination.tls is None else client_context(destination.tls)
    try:
        plain = socket.create_connection((destination.host, destination.port), destination.timeout_seconds)
    except OSError as error:
        raise DestinationDownError(f"{_name(destination)} cannot be reached: {describe(error)}") from error
    with plain:
        if context is None:
            yield plain
            return
        with _secured(plain, context, destination) as secured:
            yield secured


def _secured(plain: socket.socket, context: ClientContext, destination: Hl7Destination) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(plain, server_hostname=destination.host)
    except OSError as error:
        raise DestinationDownError(f"{_name(destination)}: no TLS handshake ({describe(error)})") from error


def _read_block(connection: socket.socket, deadline: float, name: str) -> bytes:
    received = b""
    while END_BLOCK not in received:
        left = deadline - time.monotonic()
        if left <= 0:  # also where byte after byte comes just in time
            raise TimeoutError
        connection.settimeout(left)
        more = connection.recv(1 << 16)
        if not more:
            raise DestinationDownError(f"{name} closed the connection without an answer")
        received += more
        if len(received) > MAX_ANSWER_BYTES:
            raise DestinationDownError(f"{name} answered more than {MAX_ANSWER_BYTES >> 10} KiB, which is no HL7")
    before, _, block = received[: received.index(END_BLOCK)].partition(START_BLOCK)
    return block or before


def _name(destination: Hl7Destination) -> str:
    return f"{destination.host}:{destination.port}"
