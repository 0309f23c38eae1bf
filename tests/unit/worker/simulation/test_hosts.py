"""Processes for a site: the simulated stages held against closed forms, and the plan against what it promises."""

import numpy as np
import pytest

from worker.errors import ConfigurationError
from worker.sections import RetentionSettings
from worker.simulation import storage, tandem
from worker.simulation.closed_forms import first_come
from worker.simulation.durations import Duration
from worker.simulation.hosts import STAGES, Plan, plan_hosts
from worker.simulation.site import Costs, Goal, Rates, Site
from worker.simulation.storage import storage_for
from worker.simulation.tandem import Load, Processes, passage
from worker.simulation.whole import cores_of, gpu_workers

COSTS = Rates().costs(10.0)
GOAL = Goal()


@pytest.fixture(autouse=True)
def _few_studies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough to tell a promise that is kept from one that is not."""
    monkeypatch.setattr(tandem, "STUDIES", 1000)


def plan(studies: float, goal: Goal = GOAL, **site: float) -> Plan:
    """The plan of a site of which a third is flagged."""
    return plan_hosts(Site(studies, **site), COSTS, goal, flagged_share=0.35, seed=1)  # type: ignore[arg-type]


def test_stages_one_after_the_other_wait_as_each_would_alone() -> None:
    """Films one by one and exponential times: the waits of a network of M/M/c (Jackson 1957), over several seeds."""
    load, processes = Load(1.0, 1, 0.5), Processes(intake=1, prepare=3, score=9, deliver=2)
    costs = Costs(intake=0.7, prepare=2.4, score=0.001, score_batch=0.001, deliver=1.1, wake=0.001)
    runs = [passage(load, costs, processes, seed=seed).waits for seed in range(6)]
    rates = {"intake": (1.0, 0.7), "prepare": (1.0, 2.4), "deliver": (1.5, 1.1)}
    for stage, (rate, seconds) in rates.items():
        waits = np.array([run[stage] for run in runs])
        expected = first_come(getattr(processes, stage), rate, Duration(seconds))
        assert expected is not None
        assert abs(waits.mean() - expected) < 2.57 * waits.std(ddof=1) / np.sqrt(len(waits)), stage  # t, 5 degrees


def test_a_batch_takes_what_waits_and_no_more_than_fits() -> None:
    """Films that come faster than one by one can be scored are scored, in batches; batches of one do not keep up."""
    load, processes = Load(10.0, 1, 0.5), Processes(intake=9, prepare=9, score=1, deliver=9)
    batched, single = (
        passage(load, Costs(0.01, 0.01, 0.05, 0.1, 0.01, batch_size=size), processes, seed=1) for size in (16, 1)
    )
    assert batched.waits["score"] < 1
    assert single.waits["score"] > 5


@pytest.mark.parametrize("studies", [1e3, 1e5, 1e6])
def test_a_plan_keeps_both_of_its_promises(studies: float) -> None:
    """No process works more than it may, one less in any stage would, and 95 % of the flags are there in time."""
    found = plan(studies)
    median, p95, longest = found.seconds_to_flag
    assert median <= p95 <= min(GOAL.seconds, longest)
    for stage in found.stages:
        assert stage.utilisation <= GOAL.utilisation
        assert stage.processes == 1 or stage.utilisation * stage.processes / (stage.processes - 1) > GOAL.utilisation


def test_a_hurry_takes_more_processes_than_the_load_alone() -> None:
    """Where films wait too long at an allowed utilisation, processes are added until they do not."""
    relaxed, hurried = plan(1e5), plan(1e5, Goal(seconds=1.2))
    assert hurried.seconds_to_flag[1] <= 1.2 < relaxed.seconds_to_flag[1]
    assert cores_of(hurried) > cores_of(relaxed)


def test_a_million_studies_take_a_thousand_times_the_work_and_less_than_a_thousand_times_the_cores() -> None:
    """The work is in proportion; one process of each stage is the least."""
    small, large = plan(1e3), plan(1e6)
    for before, after in zip(small.stages, large.stages, strict=True):
        assert after.per_second == pytest.approx(1000 * before.per_second)
    assert cores_of(large) < 100 * cores_of(small)
    assert [stage.stage for stage in large.stages] == list(STAGES)
    assert gpu_workers(Site(1e6), GOAL) == 1


def test_a_promise_that_no_number_of_processes_keeps_is_refused() -> None:
    """The work of one film alone takes longer; or just as long, and chance does the rest."""
    with pytest.raises(ConfigurationError, match=r"within-seconds: 0.1: the work alone takes 0\.\d+ s"):
        plan(1e3, Goal(seconds=0.1))
    with pytest.raises(
        ConfigurationError, match=r"within-seconds: .*95 % of the flags take .* although hardly one waits"
    ):
        plan(1e3, Goal(seconds=COSTS.flag + 0.01))
    with pytest.raises(ConfigurationError, match="utilisation: 1: at 1 a queue grows without end"):
        plan(1e3, Goal(utilisation=1.0))


@pytest.mark.parametrize("name", ["studies_per_day", "images_per_study", "image_mb", "busy_factor"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_figure_that_is_not_above_zero_is_named(name: str, value: float) -> None:
    """In the words of the option."""
    with pytest.raises(ConfigurationError, match=f"{name.replace('_', '-')}: {value:g}: give a number above 0"):
        Site(**{"studies_per_day": 1.0, name: value})  # type: ignore[arg-type]


def test_rates_of_a_site_become_the_costs_that_are_simulated() -> None:
    """Twice the rate is half the time; a full batch takes what the score rate says, also at the rate of a GPU."""
    assert Rates(intake_rate=50.0).costs(10.0).intake == pytest.approx(0.2)
    assert Rates(prepare_rate=4.0).costs(10.0).prepare == pytest.approx(0.25)
    for rate in (5.0, 1400.0):
        assert Rates(score_rate=rate).costs(10.0).score_in_full_batches == pytest.approx(1 / rate)


def test_disk_and_network_by_hand() -> None:
    """1,000 studies of two films of 10 MB: 20 GB a day for 14 days, 86 MB a day for 400; 2.5 times 1.85 Mbit/s."""
    needed = storage_for(Site(1000))
    assert needed.spool_gb == pytest.approx(280)
    assert needed.prepared_gb == pytest.approx(34.4)
    assert needed.sql_gb_per_year == pytest.approx(5.11)
    assert needed.network_mbit == pytest.approx(4.63, abs=0.01)


def test_the_retention_that_is_planned_for_is_that_of_the_settings() -> None:
    """A new default of the settings changes the plan."""
    kept = RetentionSettings()
    assert (kept.raw_days, kept.prepared_days) == (storage.RAW_DAYS, storage.PREPARED_DAYS)
