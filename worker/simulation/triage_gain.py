"""What flags are worth: how long the sick, the missed and the others wait, with flags and without."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.errors import ConfigurationError
from worker.simulation import closed_forms
from worker.simulation.estimates import REPETITIONS, Estimate, pooled_mean
from worker.simulation.reading_queue import waits
from worker.simulation.reading_room import Cases, ReadingRoom, draw_cases

CASES = 3_000
MOST_CASES = 200_000
LONGEST_SETTLING = 6_000
GROUPS = ("diseased", "missed", "not diseased", "all")


@dataclass(frozen=True, slots=True)
class Waits:
    """Waits of a group, in minutes; NaN where nobody is in it.

    Attributes:
        mean: with its 95 % interval.
        p95: 95 % waited at most this long.
        longest: of all that were simulated.
        expected: mean in closed form; None where none is known.
    """

    mean: Estimate
    p95: float
    longest: float
    expected: float | None


@dataclass(frozen=True, slots=True)
class GroupGain:
    """One group under both rules; the same cases, so that `saved` is surer than a difference of two means.

    Attributes:
        group: diseased; missed (diseased and not flagged); not diseased; all.
        cases: how many were counted.
        without, with_flags: their waits.
        saved: mean wait without flags less that with them, minutes.
    """

    group: str
    cases: int
    without: Waits
    with_flags: Waits
    saved: Estimate


@dataclass(frozen=True, slots=True)
class TriageGain:
    """What was simulated.

    Attributes:
        groups: in the order of `GROUPS`.
        hours: counted time of each repetition.
        repetitions: how many.
        settled: False if the load is so high that the list had not forgotten its empty beginning.
    """

    groups: tuple[GroupGain, ...]
    hours: float
    repetitions: int
    settled: bool


class _Repetition(NamedTuple):
    cases: Cases
    without: NDArray[np.float64]
    with_flags: NDArray[np.float64]
    counted: slice

    def of(self, group: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(values[self.counted][_members(self.cases, group)[self.counted]])


def triage_gain(room: ReadingRoom, *, seed: int, hours: float | None = None) -> TriageGain:
    """Simulate the list with flags and without, `REPETITIONS` times.

    Args:
        room: who reads what.
        seed: of all random numbers; the same seed gives the same figures.
        hours: counted time of each repetition; by default that of `CASES` studies.

    Raises:
        ConfigurationError: if these hours have no study in them, or too many.
    """
    count = CASES if hours is None else round(hours * room.arrivals_per_hour)
    if not 1 <= count <= MOST_CASES:
        raise ConfigurationError(f"hours: {count} studies would be simulated: give hours for 1 to {MOST_CASES} of them")
    wanted = _settling(room)
    margin = min(wanted, LONGEST_SETTLING)
    streams = np.random.default_rng(seed).spawn(REPETITIONS)
    repetitions = [_repeat(room, dice, count, margin) for dice in streams]
    groups = tuple(_group(room, name, repetitions) for name in GROUPS)
    return TriageGain(groups, count / room.arrivals_per_hour, REPETITIONS, settled=margin == wanted)


def _settling(room: ReadingRoom) -> int:
    """Return after how many cases a list that began empty has forgotten it.

    Source: the relaxation time of M/M/1, 1 / (rate of service × (1 - √load)²), three times, and a few readings each.
    """
    return int(200 + 10 * room.readers + 3 * room.load / (1 - math.sqrt(room.load)) ** 2)


def _repeat(room: ReadingRoom, dice: np.random.Generator, count: int, margin: int) -> _Repetition:
    tail = margin // 4  # not counted either: nobody comes after these
    cases = draw_cases(room, dice, margin + count + tail)
    counted = slice(margin, margin + count)
    return _Repetition(cases, waits(room, cases, flags=False), waits(room, cases, flags=True), counted)


def _members(cases: Cases, group: str) -> NDArray[np.bool_]:
    return {
        "diseased": cases.diseased,
        "missed": cases.diseased & ~cases.flagged,
        "not diseased": ~cases.diseased,
        "all": np.ones_like(cases.diseased),
    }[group]


def _group(room: ReadingRoom, name: str, repetitions: list[_Repetition]) -> GroupGain:
    without = [repetition.of(name, repetition.without) for repetition in repetitions]
    with_flags = [repetition.of(name, repetition.with_flags) for repetition in repetitions]
    return GroupGain(
        group=name,
        cases=sum(map(len, without)),
        without=_summary(without, expected_wait(room, name, flags=False)),
        with_flags=_summary(with_flags, expected_wait(room, name, flags=True)),
        saved=pooled_mean([before - after for before, after in zip(without, with_flags, strict=True)]),
    )


def _summary(repetitions: list[NDArray[np.float64]], expected: float | None) -> Waits:
    values = np.concatenate(repetitions)
    if not len(values):
        return Waits(pooled_mean(repetitions), math.nan, math.nan, None)
    return Waits(pooled_mean(repetitions), float(np.quantile(values, 0.95)), float(values.max()), expected)


def expected_wait(room: ReadingRoom, group: str, *, flags: bool) -> float | None:
    """Return the mean wait of a group in closed form, minutes; None where none is known, as with escalation."""
    rate = room.arrivals_per_hour / 60
    if not flags:
        return closed_forms.first_come(room.readers, rate, room.reading)
    if room.escalate_after_minutes is not None:
        return None
    form = closed_forms.preemptive_resume if room.preemptive else closed_forms.non_preemptive
    by_class = form(room.readers, (rate * room.flagged_share, rate * (1 - room.flagged_share)), room.reading)
    if by_class is None:
        return None
    flagged = {
        "diseased": room.sensitivity,
        "missed": 0.0,
        "not diseased": 1 - room.specificity,
        "all": room.flagged_share,
    }[group]
    return flagged * by_class[0] + (1 - flagged) * by_class[1]
