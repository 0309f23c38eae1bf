"""Work in hand: a fault of its step reaches the row before it reaches the task."""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from sqlalchemy.exc import OperationalError

from worker.faults import Fault, describe


@dataclass(frozen=True, slots=True)
class Held:
    """A claim in hand, for a `with` block: an exception that leaves the block gives the rows back, and goes on.

    Without it their leases would have to run out, and nobody could see why. If the rows cannot be given back, as the
    database is away, that is what happens.

    Attributes:
        give_back: releases the rows; called with the fault, and whether it counts as an attempt: a database that is
            away and a worker that is told to stop are no fault of the work.
    """

    give_back: Callable[[Fault, bool], None]

    def __enter__(self) -> None:
        """Begin the work."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the rows back if the work ended with an exception."""
        if error is not None:
            self.give_back(describe(error), isinstance(error, Exception) and not isinstance(error, OperationalError))
