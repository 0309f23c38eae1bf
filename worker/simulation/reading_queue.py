"""The readers' queue, case by case."""

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray
from simpy.resources.resource import PriorityRequest

from worker.simulation.reading_room import Cases, ReadingRoom

URGENT, ROUTINE = 0, 1
Steps = Generator[simpy.Event, Any, None]


def waits(room: ReadingRoom, cases: Cases, *, flags: bool) -> NDArray[np.float64]:
    """Let the readers read all cases; returns how long each waited, minutes.

    A wait goes from arrival to the end of the reading, less the reading; interruptions count. Flagged cases come first,
    then those of longer standing. A case that is escalated is as urgent as a flagged one, and so goes by its arrival
    among these; it interrupts nobody.

    Args:
        room: who reads, and by which rules.
        cases: those that come; none comes after the last.
        flags: whether flags are heeded; if not, who comes first is read first.
    """
    list_ = _List(room, flags=flags)
    list_.environment.process(list_.admit(cases))
    list_.environment.run()
    return np.maximum(np.array(list_.ended)[np.argsort(list_.numbers)] - cases.arrivals - cases.readings, 0.0)


class _List:
    """The list while it is read."""

    def __init__(self, room: ReadingRoom, *, flags: bool) -> None:
        self.environment = simpy.Environment()
        self.numbers: list[int] = []
        self.ended: list[float] = []
        self._readers = simpy.PreemptiveResource(self.environment, room.readers)
        self._flags = flags
        self._interrupts = flags and room.preemptive
        self._patience = room.escalate_after_minutes if flags else None

    def admit(self, cases: Cases) -> Steps:
        rows = zip(cases.arrivals.tolist(), cases.readings.tolist(), cases.flagged.tolist(), strict=True)
        for number, (arrival, reading, flagged) in enumerate(rows):
            yield self.environment.timeout(max(arrival - self.environment.now, 0.0))
            self.environment.process(self._case(number, arrival, reading, urgent=flagged and self._flags))

    def _case(self, number: int, arrival: float, left: float, *, urgent: bool) -> Steps:
        interrupts = urgent and self._interrupts
        while left > 0:
            begun: float | None = None
            try:
                request = yield from self._reader(arrival, urgent=urgent, interrupts=interrupts)
                begun = self.environment.now
                yield self.environment.timeout(left)
                left = 0
                self._readers.release(request)
            except simpy.Interrupt:
                left -= 0 if begun is None else self.environment.now - begun
        self.numbers.append(number)
        self.ended.append(self.environment.now)

    def _reader(
        self, arrival: float, *, urgent: bool, interrupts: bool
    ) -> Generator[simpy.Event, Any, PriorityRequest]:
        """Wait until a reader is free; past the patience as an urgent case."""
        request = self._request(arrival, urgent=urgent, interrupts=interrupts)
        if not urgent and self._patience is not None:
            patience = self.environment.timeout(max(arrival + self._patience - self.environment.now, 0.0))
            yield request | patience
            if not request.triggered:
                request.cancel()
                request = self._request(arrival, urgent=True, interrupts=False)
        yield request
        return request

    def _request(self, arrival: float, *, urgent: bool, interrupts: bool) -> PriorityRequest:
        # Within a class by arrival, and not by when it joined that class: simpy compares these tuples.
        key: Any = (URGENT if urgent else ROUTINE, arrival)
        return self._readers.request(priority=key, preempt=interrupts)
