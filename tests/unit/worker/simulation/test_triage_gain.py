"""What flags save, simulated: held against the closed forms, at the ends, and against errors on purpose."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.rooms import room
from worker.errors import ConfigurationError
from worker.simulation import triage_gain as simulated
from worker.simulation.estimates import Estimate
from worker.simulation.reading_room import ReadingRoom, readers_for
from worker.simulation.triage_gain import GroupGain, expected_wait, triage_gain

SEED = 3
ROOMS = [
    pytest.param(room(0.5, preemptive=True), id="M/M/1 preemptive, quiet"),
    pytest.param(room(0.9), id="M/M/1, heavy"),
    pytest.param(room(0.8, shape="deterministic"), id="M/D/1"),
    pytest.param(room(0.8, shape="lognormal", preemptive=True), id="M/G/1 preemptive"),
    pytest.param(room(0.8, 3), id="M/M/3"),
    pytest.param(room(0.8, 3, preemptive=True), id="M/M/3 preemptive"),
]


def by_group(groups: Sequence[GroupGain]) -> dict[str, GroupGain]:
    """Groups by name."""
    return {group.group: group for group in groups}


def is_off(estimate: Estimate, expected: float | None) -> bool:
    """Whether a closed form lies outside of the interval of 99.5 %, half as wide again as that of 95 %."""
    assert expected is not None
    return not replace(estimate, half_width=1.5 * estimate.half_width).holds(expected)


@pytest.mark.parametrize("here", ROOMS)
def test_the_simulation_agrees_with_the_closed_form(here: ReadingRoom) -> None:
    """Every group with flags and without, within the simulation's own interval."""
    for group in triage_gain(here, seed=SEED, hours=700 / here.arrivals_per_hour).groups:
        assert not is_off(group.without.mean, group.without.expected), group
        assert not is_off(group.with_flags.mean, group.with_flags.expected), group


def test_a_simulation_of_another_rule_would_not_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interval is narrow enough to tell interruption from none, and flags from no flags."""
    interrupting, waiting = room(0.8, preemptive=True), room(0.8)
    diseased = by_group(triage_gain(interrupting, seed=SEED, hours=40).groups)["diseased"].with_flags.mean
    assert is_off(diseased, expected_wait(waiting, "diseased", flags=True))
    real = simulated.waits
    monkeypatch.setattr(simulated, "waits", lambda here, cases, **_: real(here, cases, flags=False))
    unheeded = by_group(triage_gain(waiting, seed=SEED, hours=40).groups)["diseased"].with_flags.mean
    assert is_off(unheeded, expected_wait(waiting, "diseased", flags=True))


def test_the_missed_pay_and_nobody_else_saves_much() -> None:
    """Diseased cases wait less, missed ones longer, and all together the same; each surely so."""
    groups = by_group(triage_gain(room(0.9), seed=SEED, hours=40).groups)
    assert groups["diseased"].saved.mean > groups["diseased"].saved.half_width
    assert -groups["missed"].saved.mean > groups["missed"].saved.half_width
    assert groups["all"].saved.holds(0.0)
    assert groups["missed"].with_flags.longest <= groups["diseased"].with_flags.longest


def test_the_same_seed_gives_the_same_figures() -> None:
    """And another one others."""
    here, hours = room(0.5), 5.0
    assert triage_gain(here, seed=1, hours=hours) == triage_gain(here, seed=1, hours=hours)
    assert triage_gain(here, seed=1, hours=hours) != triage_gain(here, seed=2, hours=hours)


@pytest.mark.parametrize(
    ("ends", "empty"),
    [
        ({"prevalence": 0.0}, {"diseased", "missed"}),
        ({"prevalence": 1.0}, {"not diseased"}),
        ({"sensitivity": 1.0}, {"missed"}),
        ({"sensitivity": 1.0, "specificity": 0.0}, {"missed"}),
        ({"prevalence": 0.0, "specificity": 1.0}, {"diseased", "missed"}),
    ],
)
def test_an_end_of_the_range_leaves_a_group_empty_and_breaks_nothing(ends: dict[str, float], empty: set[str]) -> None:
    """An empty group has no waits; the others have all of theirs."""
    for preemptive in (False, True):
        here = room(0.6, 2, preemptive=preemptive, **ends)
        groups = triage_gain(here, seed=1, hours=1).groups
        assert {group.group for group in groups if not group.cases} == empty
        for group in groups:
            assert math.isnan(group.with_flags.mean.mean) == (group.group in empty)
            assert math.isnan(group.saved.mean) == (group.group in empty)


def test_escalation_has_no_closed_form() -> None:
    """None, instead of that of a list without a limit."""
    here = room(0.9, escalate_after_minutes=30.0)
    assert expected_wait(here, "diseased", flags=True) is None
    assert expected_wait(here, "diseased", flags=False) == pytest.approx(27.0)


def test_a_list_that_settles_slowly_is_told() -> None:
    """At a load of 0.99 the beginning is not forgotten within what is simulated."""
    assert triage_gain(room(0.8), seed=1, hours=1).settled
    assert simulated._settling(room(0.99)) > simulated.LONGEST_SETTLING


@pytest.mark.parametrize("load", [1.0, 1.6])
def test_readers_who_cannot_keep_up_are_told_how_many_it_takes(load: float) -> None:
    """No figure of a list that grows for ever; the number named does keep up."""
    with pytest.raises(
        ConfigurationError, match=rf"load of {load:.2f}.*give at least {math.floor(2 * load) + 1} readers"
    ):
        room(load, 2)
    assert ReadingRoom(40 * load, readers_for(40 * load, 3.0, 1.0), room(0.5).reading, 0.1, 0.9, 0.9).load < 1


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"prevalence": 1.2}, "prevalence: 1.2 is no share"),
        ({"sensitivity": -0.1}, "sensitivity: -0.1 is no share"),
        ({"specificity": math.nan}, "specificity: nan is no share"),
        ({"escalate_after_minutes": 0.0}, "escalate-after: 0 minutes"),
    ],
)
def test_a_figure_out_of_range_is_named(wrong: dict[str, float], named: str) -> None:
    """With what to give instead."""
    with pytest.raises(ConfigurationError, match=f"{named}.*give"):
        room(0.5, **wrong)
    with pytest.raises(ConfigurationError, match="readers: 0: give at least 1"):
        ReadingRoom(1.0, 0, room(0.5).reading, 0.1, 0.9, 0.9)
    with pytest.raises(ConfigurationError, match="studies: 0 an hour"):
        room(0.0)


@pytest.mark.parametrize("hours", [0.0, 1e6])
def test_hours_without_a_study_or_with_too_many_are_refused(hours: float) -> None:
    """With how many would be."""
    with pytest.raises(ConfigurationError, match=r"hours: \d+ studies would be simulated"):
        triage_gain(room(0.5), seed=1, hours=hours)


def test_an_interval_holds_the_true_mean_as_often_as_it_says() -> None:
    """Nineteen times in twenty, over 1,000 draws of repetitions of unequal length."""
    dice = np.random.default_rng(1)
    held = 0
    for _ in range(1000):
        counts = dice.integers(20, 60, simulated.REPETITIONS)
        held += simulated.pooled_mean([dice.exponential(2.0, count) for count in counts]).holds(2.0)
    assert 0.92 < held / 1000 < 0.975
