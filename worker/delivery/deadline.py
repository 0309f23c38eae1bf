"""A time limit of a whole exchange: a server that drips a byte now and then never exceeds the limit of one read."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class Deadline:
    """Ends the connections of a block when its time is up.

    Attributes:
        seconds: from the start of the block.
        expired: whether the time is up.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.expired = False
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._timer.cancel()

    def watch(self, connection: socket.socket) -> None:
        """Have a connection ended with the others; at once, if the time is up."""
        with self._lock:
            self._sockets.append(connection)
            if self.expired:
                _shut(connection)

    def _expire(self) -> None:
        with self._lock:
            self.expired = True
            for connection in self._sockets:
                _shut(connection)


def _shut(connection: socket.socket) -> None:
    # Whoever reads sees the end. TLS's own shutdown would take the session from under a reader in another thread.
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
