"""The simulated list, case by case: rules by hand, and laws that hold exactly for the same random numbers."""

import heapq

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.rooms import room
from worker.simulation.durations import Shape
from worker.simulation.reading_queue import waits
from worker.simulation.reading_room import Cases, ReadingRoom, draw_cases


def cases(*rows: tuple[float, float, bool]) -> Cases:
    """Cases by arrival, reading time and flag."""
    arrivals, readings, flagged = (np.array(column) for column in zip(*rows, strict=True))
    return Cases(arrivals.astype(float), readings.astype(float), flagged.astype(bool), flagged.astype(bool))


def first_come_first_served(drawn: Cases, readers: int) -> NDArray[np.float64]:
    """Each begins when it has come and the first reader is free (Kiefer and Wolfowitz, 1955)."""
    free, found = [0.0] * readers, []
    for arrival, reading in zip(drawn.arrivals, drawn.readings, strict=True):
        begin = max(arrival, heapq.heappop(free))
        found.append(begin - arrival)
        heapq.heappush(free, begin + reading)
    return np.array(found)


@pytest.mark.parametrize(("readers", "load"), [(1, 0.8), (3, 0.95), (40, 0.9)])
def test_without_flags_every_wait_is_that_of_the_recursion(readers: int, load: float) -> None:
    """To the last digit, for each single case."""
    here = room(load, readers, shape="lognormal")
    drawn = draw_cases(here, np.random.default_rng(1), 2000)
    assert waits(here, drawn, flags=False) == pytest.approx(first_come_first_served(drawn, readers), abs=1e-9)


@pytest.mark.parametrize("shape", ["exponential", "deterministic", "lognormal"])
def test_a_single_reader_who_interrupts_nobody_has_as_much_before_him_whoever_comes_first(shape: Shape) -> None:
    """The conservation law on one path: the readings times their waits add up to the same, exactly (Kleinrock)."""
    here = room(0.9, shape=shape)
    drawn = draw_cases(here, np.random.default_rng(2), 3000)
    without, with_flags = (waits(here, drawn, flags=flags) for flags in (False, True))
    assert without @ drawn.readings == pytest.approx(with_flags @ drawn.readings)
    assert with_flags[drawn.flagged].mean() < without[drawn.flagged].mean() / 2


def test_a_flagged_case_that_interrupts_waits_as_if_there_were_no_others() -> None:
    """Preemptive-resume on one path: each flagged wait is that of a list of flagged cases alone."""
    here = room(0.9, preemptive=True)
    drawn = draw_cases(here, np.random.default_rng(3), 3000)
    mine = drawn.flagged
    alone = Cases(drawn.arrivals[mine], drawn.readings[mine], drawn.diseased[mine], mine[mine])
    assert waits(here, drawn, flags=True)[mine] == pytest.approx(first_come_first_served(alone, 1), abs=1e-9)


def test_who_is_interrupted_goes_on_where_the_reading_stood() -> None:
    """A reading of 10 minutes, interrupted after 4 for 3: it waited 3, and the one behind it 12."""
    here = room(0.5, preemptive=True)
    rows = cases((0, 10, False), (1, 5, False), (4, 3, True))
    assert waits(here, rows, flags=True).tolist() == [3, 12, 0]


def test_a_flag_interrupts_nobody_unless_it_may() -> None:
    """The same cases: the flagged one waits for the end of the reading, and then comes before the other."""
    rows = cases((0, 10, False), (1, 5, False), (4, 3, True))
    assert waits(room(0.5), rows, flags=True).tolist() == [0, 12, 6]


def test_who_has_waited_to_the_limit_is_as_urgent_as_a_flagged_one() -> None:
    """Of standing longer than the flagged ones behind it, it is read next, and not after all of them."""
    rows = cases((0, 10, False), (1, 2, False), (2, 4, True), (3, 4, True), (4, 4, True))
    assert waits(room(0.5), rows, flags=True).tolist() == [0, 21, 8, 11, 14]
    assert waits(room(0.5, escalate_after_minutes=12.0), rows, flags=True).tolist() == [0, 13, 8, 13, 16]


def test_who_was_interrupted_past_the_limit_is_interrupted_no_more() -> None:
    """A reading that is taken up again after the limit goes on to its end while a flagged case waits."""
    rows = cases((0, 10, False), (4, 8, True), (13, 2, True))
    assert waits(room(0.5, preemptive=True), rows, flags=True).tolist() == [10, 0, 0]
    limited = room(0.5, preemptive=True, escalate_after_minutes=5.0)
    assert waits(limited, rows, flags=True).tolist() == [8, 0, 5]


def test_a_limit_shortens_the_longest_wait() -> None:
    """At a heavy load the longest wait is longer with flags than without, and the limit takes most of that back."""
    base = {"sensitivity": 0.9, "specificity": 0.7}
    unlimited, limited = room(0.95, **base), room(0.95, escalate_after_minutes=30.0, **base)
    drawn = draw_cases(unlimited, np.random.default_rng(4), 5000)
    without, free = waits(unlimited, drawn, flags=False), waits(unlimited, drawn, flags=True)
    held = waits(limited, drawn, flags=True)
    assert free.max() > 1.2 * without.max()
    assert held.max() < without.max() + 0.2 * (free.max() - without.max())


@pytest.mark.parametrize("preemptive", [False, True])
def test_where_all_or_none_are_flagged_flags_change_nothing(preemptive: bool) -> None:
    """Both ends of sensitivity and specificity, case by case."""
    for share in (0.0, 1.0):
        here = room(0.9, 2, sensitivity=share, specificity=1 - share, preemptive=preemptive)
        drawn = draw_cases(here, np.random.default_rng(5), 1000)
        assert waits(here, drawn, flags=True) == pytest.approx(waits(here, drawn, flags=False), abs=1e-9)


def test_the_same_seed_draws_the_same_cases() -> None:
    """And another one others."""

    def arrivals(here: ReadingRoom, seed: int) -> list[float]:
        return draw_cases(here, np.random.default_rng(seed), 5).arrivals.tolist()

    assert arrivals(room(0.5), 1) == arrivals(room(0.5), 1) != arrivals(room(0.5), 2)
