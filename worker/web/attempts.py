"""How often somebody may try to sign in."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

WINDOW_SECONDS = 15 * 60
MOST_PER_NAME = 10  # from one address
MOST_PER_ADDRESS = 50
_MOST_KEPT = 10_000

_Key = tuple[str, ...]


@dataclass
class Attempts:
    """Counts the wrong passwords of the last quarter of an hour, per address, and per address and name.

    In this process only: a restart forgets. Not per name alone, or anybody could keep a reader out.
    """

    clock: Callable[[], float] = monotonic
    _failures: OrderedDict[_Key, list[float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def is_open(self, address: str, name: str) -> bool:
        """Tell whether another password may be tried."""
        with self._lock:
            return (
                len(self._recent((address, name))) < MOST_PER_NAME and len(self._recent((address,))) < MOST_PER_ADDRESS
            )

    def failed(self, address: str, name: str) -> int:
        """Count a wrong password; returns how many there are if this one closes the door, else 0."""
        with self._lock:
            for key in ((address,), (address, name)):
                self._failures[key] = [*self._recent(key), self.clock()]
                self._failures.move_to_end(key)
            while len(self._failures) > _MOST_KEPT:
                self._failures.popitem(last=False)
            of_name, of_address = len(self._failures[address, name]), len(self._failures[address,])
        if of_name == MOST_PER_NAME:
            return of_name
        return of_address if of_address == MOST_PER_ADDRESS else 0

    def succeeded(self, address: str, name: str) -> None:
        """Forget the wrong passwords of a name from an address."""
        with self._lock:
            self._failures.pop((address, name), None)

    def _recent(self, key: _Key) -> list[float]:
        since = self.clock() - WINDOW_SECONDS
        return [time for time in self._failures.get(key, ()) if time > since]
