"""An MLLP receiver on a real socket that answers what it is told to, byte for byte."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import hl7

from dicom_io.tls import server_context
from dicom_io.types import TransportSecurity
from tests.servers.ports import LOOPBACK
from worker.destinations import ClientTlsSettings, Hl7Destination

Behaviour = Callable[[socket.socket, bytes], None]


def block(text: bytes) -> bytes:
    """The text between the block characters."""
    return b"\x0b" + text + b"\x1c\r"


def acknowledgement(message: bytes, code: str, *, control_id: str | None = None, more: str = "") -> bytes:
    """What the `hl7` library answers to a message; `more` are further segments."""
    ack = hl7.parse(message.decode()).create_ack(code)
    if control_id is not None:
        ack.segment("MSA").assign_field(control_id, 2)
    return (str(ack) + more).encode()


def answering(code: str, *, control_id: str | None = None, more: str = "") -> Behaviour:
    """Acknowledge every message with this code."""
    return lambda connection, message: connection.sendall(
        block(acknowledgement(message, code, control_id=control_id, more=more))
    )


def saying(answer: bytes) -> Behaviour:
    """Answer these bytes to every message."""
    return lambda connection, _message: connection.sendall(answer)


def silent(connection: socket.socket, _message: bytes) -> None:
    """Say nothing until the caller hangs up."""
    connection.recv(1)


def closing(_connection: socket.socket, _message: bytes) -> None:
    """Hang up at once."""


def dripping(connection: socket.socket, _message: bytes) -> None:
    """Answer byte after byte, each soon enough to keep a caller waiting, and never end."""
    hung_up = threading.Event()
    connection.sendall(b"\x0bMSH|^~\\&|")
    while not hung_up.wait(0.05):
        connection.sendall(b"x")


@dataclass
class MllpServer:
    """A receiver; `received` are the messages that came, without block characters."""

    socket: socket.socket
    behave: Behaviour
    context: ssl.SSLContext | None
    received: list[bytes] = field(default_factory=list)
    connections: int = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self.socket.getsockname()[1]
        return port

    def destination(self, **settings: object) -> Hl7Destination:
        """The settings of a destination that sends here."""
        values = {"kind": "hl7", "name": "ris", "host": LOOPBACK, "port": self.port, "timeout_seconds": 5}
        return Hl7Destination.model_validate(values | settings)

    def serve(self) -> None:
        """Take one connection after the other until the socket is closed."""
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            with connection, suppress(OSError):
                self._converse(connection)

    def _converse(self, plain: socket.socket) -> None:
        plain.settimeout(30)
        connection = plain if self.context is None else self.context.wrap_socket(plain, server_side=True)
        with connection:
            message = b""
            while not message.endswith(b"\x1c\r"):
                more = connection.recv(1 << 16)
                if not more:
                    return
                message += more
            assert message[:1] == b"\x0b"
            self.received.append(message[1:-2])
            self.behave(connection, message[1:-2])


@contextmanager
def mllp_server(behave: Behaviour, tls: TransportSecurity | None = None) -> Iterator[MllpServer]:
    """A receiver on a free port of the loopback interface; with TLS it demands a certificate of its authority."""
    with socket.create_server((LOOPBACK, 0), backlog=50) as listening:
        server = MllpServer(listening, behave, None if tls is None else server_context(tls))
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def client_tls(security: TransportSecurity) -> ClientTlsSettings:
    """Settings of a caller that holds this certificate."""
    return ClientTlsSettings(authorities=security.authorities, certificate=security.certificate, key=security.key)
