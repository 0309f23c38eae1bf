"""Rooms for the tests of the readers' list."""

from typing import Any

from worker.simulation.durations import Duration, Shape
from worker.simulation.reading_room import ReadingRoom


def room(load: float, readers: int = 1, *, shape: Shape = "exponential", **others: Any) -> ReadingRoom:
    """A room of this load, with readings of 3 minutes; a tenth is diseased, a flag right in four of five."""
    values = {"prevalence": 0.1, "sensitivity": 0.8, "specificity": 0.8} | others
    return ReadingRoom(load * readers * 20, readers, Duration(3.0, shape), **values)
