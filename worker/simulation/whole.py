"""Both halves of a simulated site together."""

import math
from dataclasses import dataclass

from worker.simulation.hosts import Plan, plan_hosts
from worker.simulation.reading_room import ReadingRoom
from worker.simulation.site import Costs, Goal, Site
from worker.simulation.storage import Storage, storage_for
from worker.simulation.triage_gain import TriageGain, triage_gain

# As measured: a score worker had two cores; what is not CPU at a destination is waiting for its answer.
CORES = {"intake": 1, "prepare": 1, "score": 2, "deliver": 1}
GPU_FILMS_PER_SECOND = 1_400  # of one process in batches of 16, by its database side alone: 0.7 ms of processor time


@dataclass(frozen=True, slots=True)
class Simulation:
    """A site and what was found of it.

    Attributes:
        room, gain: the readers' list, and what flags are worth there.
        site, costs, goal, plan: what comes, what it costs, what is promised, and the processes that keep the promise.
        storage: disk and network.
        cores: of all processes together, without database and broker.
        gpu_workers: score workers if each has a GPU, limited by the database side; no GPU was measured.
    """

    room: ReadingRoom
    gain: TriageGain
    site: Site
    costs: Costs
    goal: Goal
    plan: Plan
    storage: Storage
    cores: int
    gpu_workers: int


def simulate_site(
    room: ReadingRoom, site: Site, costs: Costs, goal: Goal, *, seed: int, hours: float | None = None
) -> Simulation:
    """Simulate the readers' list and the stages of the service.

    Raises:
        ConfigurationError: if the hours are out of range or the promise cannot be kept.
    """
    plan = plan_hosts(site, costs, goal, flagged_share=room.flagged_share, seed=seed)
    gain = triage_gain(room, seed=seed, hours=hours)
    return Simulation(room, gain, site, costs, goal, plan, storage_for(site), cores_of(plan), gpu_workers(site, goal))


def cores_of(plan: Plan) -> int:
    """Return the cores of all processes of a plan."""
    return sum(stage.processes * CORES[stage.stage] for stage in plan.stages)


def gpu_workers(site: Site, goal: Goal) -> int:
    """Return how many score workers a site needs whose GPU costs nothing."""
    films = site.busy_studies_per_second * site.images_per_study
    return math.floor(films / GPU_FILMS_PER_SECOND / goal.utilisation) + 1
