"""The four stages one after the other, film by film, through a busy hour."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from worker.simulation.site import Costs

STUDIES, SETTLING = 2_500, 250
LEAST_FLAGGED = 0.05  # so that there are flags to time
QUIET_SECONDS = 30.0
Steps = Generator[simpy.Event, Any, None]


@dataclass(frozen=True, slots=True)
class Processes:
    """How many of each: listener processes, prepare processes, score workers, destinations of a kind."""

    intake: int
    prepare: int
    score: int
    deliver: int


@dataclass(frozen=True, slots=True)
class Load:
    """What comes: studies a second, films of each, and the share of the films that is flagged."""

    studies_per_second: float
    images_per_study: int
    flagged_share: float


@dataclass(frozen=True, slots=True)
class Passage:
    """Times of the simulated films, seconds.

    Attributes:
        to_flag: from the arrival of a flagged film to its flag delivered, one value each.
        waits: by stage, of all its work: time in the queue alone.
    """

    to_flag: NDArray[np.float64]
    waits: dict[str, float]


def passage(load: Load, costs: Costs, processes: Processes, *, seed: int) -> Passage:
    """Send studies through the stages.

    Studies come as a Poisson process, their films together; every time but that of a batch is exponential. A flagged
    film is told at once, and each study once more when it has been quiet for `QUIET_SECONDS`. The first and last
    `SETTLING` studies are not counted.
    """
    line = _Line(load, costs, processes, np.random.default_rng(seed))
    line.environment.run()
    waits = {name: float(np.mean(values)) if values else 0.0 for name, values in line.waits.items()}
    return Passage(np.array(line.to_flag), waits)


class _Line:
    def __init__(self, load: Load, costs: Costs, processes: Processes, dice: np.random.Generator) -> None:
        self.environment = simpy.Environment()
        self.to_flag: list[float] = []
        self.waits: dict[str, list[float]] = {name: [] for name in ("intake", "prepare", "score", "deliver")}
        self._load, self._costs, self._dice = load, costs, dice
        self._intake = simpy.Resource(self.environment, processes.intake)
        self._prepare = simpy.Resource(self.environment, processes.prepare)
        self._deliver = simpy.Resource(self.environment, processes.deliver)
        self._prepared = simpy.Store(self.environment)
        for _ in range(processes.score):
            self.environment.process(self._score_worker())
        self.environment.process(self._arrivals())

    def _arrivals(self) -> Steps:
        for number in range(STUDIES + 2 * SETTLING):
            yield self.environment.timeout(self._dice.exponential(1 / self._load.studies_per_second))
            counted = SETTLING <= number < SETTLING + STUDIES
            for _ in range(self._load.images_per_study):
                self.environment.process(self._film(counted=counted))
            self.environment.process(self._conclusion(counted=counted))

    def _film(self, *, counted: bool) -> Steps:
        arrival = self.environment.now
        yield from self._work("intake", self._intake, self._costs.intake, counted=counted)
        yield self.environment.timeout(self._costs.wake)
        yield from self._work("prepare", self._prepare, self._costs.prepare, counted=counted)
        yield self.environment.timeout(self._costs.wake)
        yield from self._score(counted=counted)
        if self._dice.random() >= max(self._load.flagged_share, LEAST_FLAGGED):
            return
        yield self.environment.timeout(self._costs.wake)
        yield from self._work("deliver", self._deliver, self._costs.deliver, counted=counted)
        if counted:
            self.to_flag.append(self.environment.now - arrival)

    def _conclusion(self, *, counted: bool) -> Steps:
        yield self.environment.timeout(QUIET_SECONDS)
        yield from self._work("deliver", self._deliver, self._costs.deliver, counted=counted)

    def _work(self, name: str, stage: simpy.Resource, seconds: float, *, counted: bool) -> Steps:
        asked = self.environment.now
        with stage.request() as turn:
            yield turn
            if counted:
                self.waits[name].append(self.environment.now - asked)
            yield self.environment.timeout(self._dice.exponential(seconds))

    def _score(self, *, counted: bool) -> Steps:
        asked, begun, scored = self.environment.now, self.environment.event(), self.environment.event()
        self._prepared.put((begun, scored))
        yield begun
        if counted:
            self.waits["score"].append(self.environment.now - asked)
        yield scored

    def _score_worker(self) -> Steps:
        while True:
            batch = [(yield self._prepared.get())]
            while self._prepared.items and len(batch) < self._costs.batch_size:
                batch.append((yield self._prepared.get()))
            for begun, _ in batch:
                begun.succeed()
            yield self.environment.timeout(self._costs.score_batch + len(batch) * self._costs.score)
            for _, scored in batch:
                scored.succeed()
