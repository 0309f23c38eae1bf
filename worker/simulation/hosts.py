"""How many processes of each stage a site needs."""

import math
from dataclasses import dataclass, replace

import numpy as np

from worker.errors import ConfigurationError
from worker.simulation.closed_forms import first_come
from worker.simulation.durations import Duration
from worker.simulation.site import Costs, Goal, Site
from worker.simulation.tandem import LEAST_FLAGGED, Load, Processes, passage

STAGES = ("intake", "prepare", "score", "deliver")
_NO_WAIT = 0.02  # of the time that the work takes: more processes save no more than this


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage in the busiest hour.

    Attributes:
        stage: its name.
        processes: how many are needed; at `deliver`, destinations that share the results.
        per_second: pieces of work that come to it.
        utilisation: share of its time that each process works.
        wait: mean seconds in the queue, simulated.
        expected_wait: the same of M/M/c, seconds: exact where films come one by one and are served one by one.
    """

    stage: str
    processes: int
    per_second: float
    utilisation: float
    wait: float
    expected_wait: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What a site needs.

    Attributes:
        stages: in the order of `STAGES`.
        seconds_to_flag: from a film's arrival to its flag delivered in the busiest hour: median, 95 %, longest.
    """

    stages: tuple[StagePlan, ...]
    seconds_to_flag: tuple[float, float, float]


def plan_hosts(site: Site, costs: Costs, goal: Goal, *, flagged_share: float, seed: int) -> Plan:
    """Find the least processes that stay under the utilisation, then add where films wait until the promise is kept.

    Args:
        site: what comes.
        costs: seconds of work.
        goal: what is promised.
        flagged_share: of the films and of the studies; at least `LEAST_FLAGGED` is taken.
        seed: of all random numbers.

    Raises:
        ConfigurationError: if the promise cannot be kept.
    """
    goal.require_possible(costs)
    load = Load(site.busy_studies_per_second, site.images_per_study, max(flagged_share, LEAST_FLAGGED))
    demand = {name: rate * seconds for name, (rate, seconds) in _work(load, costs).items()}
    processes = Processes(**{name: math.floor(demand[name] / goal.utilisation) + 1 for name in STAGES})
    while True:
        passed = passage(load, costs, processes, seed=seed)
        median, p95, longest = (float(value) for value in np.quantile(passed.to_flag, (0.5, 0.95, 1.0)))
        if p95 <= goal.seconds:
            return Plan(_stages(load, costs, processes, passed.waits), (median, p95, longest))
        crowded = max(STAGES, key=lambda name: passed.waits[name])
        if passed.waits[crowded] < _NO_WAIT * costs.flag:
            raise ConfigurationError(
                f"within-seconds: {goal.seconds:g}: 95 % of the flags take {p95:.2g} s although hardly one waits: "
                "promise more, or give faster rates"
            )
        processes = replace(processes, **{crowded: getattr(processes, crowded) + 1})


def _work(load: Load, costs: Costs) -> dict[str, tuple[float, float]]:
    """Return of each stage how much comes a second, and the seconds of each; films one by one or in full batches."""
    films = load.studies_per_second * load.images_per_study
    return {
        "intake": (films, costs.intake),
        "prepare": (films, costs.prepare),
        "score": (films, costs.score_in_full_batches),
        "deliver": (load.studies_per_second + films * load.flagged_share, costs.deliver),
    }


def _stages(load: Load, costs: Costs, processes: Processes, waits: dict[str, float]) -> tuple[StagePlan, ...]:
    stages = []
    for name, (rate, seconds) in _work(load, costs).items():
        count = getattr(processes, name)
        expected = first_come(count, rate, Duration(seconds)) or 0.0
        stages.append(StagePlan(name, count, rate, rate * seconds / count, waits[name], expected))
    return tuple(stages)
