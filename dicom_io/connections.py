"""The connections that are open: who has an association, who is still waiting for one, and who gives way."""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from socket import SHUT_RDWR, socket
from typing import Any

import structlog

from dicom_io.access import Observer, Reason

WAITING_ROOM = 64  # connections that have not yet brought an A-ASSOCIATE-RQ; a caller brings it in milliseconds

_log = structlog.get_logger()


@dataclass(eq=False)
class Connection:
    """One TCP connection from its first moment on."""

    socket: socket
    address: Any
    observer: Observer
    association: Any = None  # a GuardedAssociation, once there is one
    opened: float = field(default_factory=time.monotonic)
    told: bool = False

    def turn_away(self, reason: Reason, detail: str | None = None) -> None:
        """End it: with an A-ABORT where it is one of ours already."""
        if self.association is not None:
            self.association.dul.turn_away(reason, detail)
            return
        self.tell(reason, detail)
        with suppress(OSError):
            self.socket.shutdown(SHUT_RDWR)

    def tell(self, reason: Reason, detail: str | None) -> None:
        """Say in one line why it was refused or ended before its time, and count it; the first reason is the one."""
        if self.told:
            return
        self.told = True
        caller = self.association.caller if self.association is not None else None
        established = self.association is not None and self.association.was_established
        event = "association-ended" if established else "association-refused"
        _log.warning(event, reason=reason, detail=detail, calling_ae_title=caller, address=self.address[0])
        self.observer.turned_away(reason)


class Connections:
    """Those that are open, in two rooms of limited size; safe to use from many threads."""

    def __init__(self, most_associations: int) -> None:
        self._lock = threading.Lock()
        self._most = most_associations
        self._waiting: dict[Connection, None] = {}
        self._associated: set[Connection] = set()

    def enter(self, connection: Connection) -> Connection | None:
        """Take a new one; returns the one that has waited longest where it must give way."""
        with self._lock:
            self._waiting[connection] = None
            if len(self._waiting) <= WAITING_ROOM:
                return None
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            return oldest

    def associate(self, connection: Connection) -> bool:
        """Make it one of the associations, if there is room."""
        with self._lock:
            self._waiting.pop(connection, None)
            if len(self._associated) >= self._most:
                return False
            self._associated.add(connection)
            return True

    def leave(self, connection: Connection) -> None:
        """Forget it."""
        with self._lock:
            self._waiting.pop(connection, None)
            self._associated.discard(connection)

    def all(self) -> list[Connection]:
        """Return those that are open now."""
        with self._lock:
            return [*self._waiting, *self._associated]
