"""The readers' queue, before and with flags: what is known of it, and the cases that come to it."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.errors import ConfigurationError
from worker.simulation.durations import Duration


@dataclass(frozen=True, slots=True)
class ReadingRoom:
    """Readers who share one list of studies.

    Attributes:
        arrivals_per_hour: studies that come to the list.
        readers: who read from it.
        reading: time that one study takes, in minutes.
        prevalence: share of the studies that show the disease.
        sensitivity, specificity: of the flag.
        preemptive: whether a flagged study interrupts the reading of one without a flag, which is resumed later.
        escalate_after_minutes: who has waited this long without a flag is treated as if flagged; None: never.

    Raises:
        ConfigurationError: if a figure is out of range, or the readers cannot keep up.
    """

    arrivals_per_hour: float
    readers: int
    reading: Duration
    prevalence: float
    sensitivity: float
    specificity: float
    preemptive: bool = False
    escalate_after_minutes: float | None = None

    def __post_init__(self) -> None:
        for name in ("prevalence", "sensitivity", "specificity"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError(f"{name}: {getattr(self, name):g} is no share: give one from 0 to 1")
        if not 0 < self.arrivals_per_hour < math.inf:
            raise ConfigurationError(f"studies: {self.arrivals_per_hour:g} an hour: give a number above 0")
        if self.readers < 1:
            raise ConfigurationError(f"readers: {self.readers}: give at least 1")
        if self.escalate_after_minutes is not None and not self.escalate_after_minutes > 0:
            raise ConfigurationError(f"escalate-after: {self.escalate_after_minutes:g} minutes: give more than 0")
        self._require_stable()

    def _require_stable(self) -> None:
        if self.load < 1:
            return
        raise ConfigurationError(
            f"readers: {self.readers} cannot keep up: {self.arrivals_per_hour:.4g} studies an hour of "
            f"{self.reading.mean:g} minutes are a load of {self.load:.2f}, and the list grows without end from 1 on: "
            f"give at least {readers_for(self.arrivals_per_hour, self.reading.mean, 1.0)} readers, "
            "fewer studies or a shorter reading time"
        )

    @property
    def load(self) -> float:
        """Share of their time that the readers read."""
        return self.arrivals_per_hour * self.reading.mean / 60 / self.readers

    @property
    def flagged_share(self) -> float:
        """Share of the studies that are flagged."""
        return self.prevalence * self.sensitivity + (1 - self.prevalence) * (1 - self.specificity)


def readers_for(arrivals_per_hour: float, minutes: float, load: float) -> int:
    """Return the least number of readers whose load stays below `load`."""
    return math.floor(arrivals_per_hour * minutes / 60 / load) + 1


@dataclass(frozen=True, slots=True)
class Cases:
    """Studies in order of arrival; each array has one value for each.

    Attributes:
        arrivals, readings: when it comes, and how long it takes to read, minutes.
        diseased, flagged: whether it shows the disease, and whether it is flagged.
    """

    arrivals: NDArray[np.float64]
    readings: NDArray[np.float64]
    diseased: NDArray[np.bool_]
    flagged: NDArray[np.bool_]


def draw_cases(room: ReadingRoom, dice: np.random.Generator, count: int) -> Cases:
    """Draw cases: Poisson arrivals; whether one is flagged depends on nothing but its disease."""
    arrivals = np.cumsum(dice.exponential(60 / room.arrivals_per_hour, count))
    diseased = dice.random(count) < room.prevalence
    flagged = dice.random(count) < np.where(diseased, room.sensitivity, 1 - room.specificity)
    return Cases(arrivals, room.reading.draw(dice, count), diseased, flagged)
