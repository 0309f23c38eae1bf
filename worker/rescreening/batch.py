"""A batch of a re-screening on its way through the network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from worker.films import DamagedFilmError, unpack_film
from worker.inference import Engine, Pending
from worker.model.judgement import judge_frame
from worker.repository.rescreen_frames import Answer, Film, Lack


@dataclass(eq=False)
class Batch:
    """Films that are unpacked while the batch before is computed, and judged while the next one is.

    Attributes:
        engine: of the run's model.
        films: without those that wait for their preparation.
    """

    engine: Engine
    films: Sequence[Film]
    _answers: list[Answer] = field(default_factory=list, init=False)
    _ready: list[Film] = field(default_factory=list, init=False)
    _arrays: list[NDArray[np.uint8]] = field(default_factory=list, init=False)
    _pending: Pending | None = field(default=None, init=False)

    def unpack(self) -> None:
        """Unpack the films; one that is not there, or damaged, is answered alone."""
        for film in self.films:
            if film.pixels is None:
                self._answers.append(Answer(film, None, Lack.NOT_PREPARED))
                continue
            try:
                self._arrays.append(unpack_film(film.pixels, self.engine.card.input_spec.size))
                self._ready.append(film)
            except DamagedFilmError:
                self._answers.append(Answer(film, None, Lack.DAMAGED))

    def start(self) -> None:
        """Send the films into the network; returns at once."""
        if self._arrays:
            self._pending = self.engine.start(np.stack(self._arrays))  # (N, size, size)

    def wait(self) -> None:
        """Return when the device is through with them; with the errors of `Pending.wait`."""
        if self._pending is not None:
            self._pending.wait()

    def answers(self) -> list[Answer]:
        """Return one for each film; with the errors of `Pending.result`."""
        if self._pending is None:
            return self._answers
        scores = self._pending.result()
        for index, film in enumerate(self._ready):
            logit, distance = float(scores.logits[index]), float(scores.scope_distances[index])
            self._answers.append(self._judged(film, logit, distance, scores.activation_maps[index]))
        return self._answers

    def _judged(self, film: Film, logit: float, distance: float, evidence: NDArray[np.float16]) -> Answer:
        if not math.isfinite(logit):
            return Answer(film, None, Lack.NO_SCORE)
        judgement = judge_frame(self.engine.card, logit, distance)
        newly = judgement.flagged and not film.previous[3]
        return Answer(film, judgement, activation_map=evidence.astype("<f2").tobytes() if newly else None)
