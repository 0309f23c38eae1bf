"""The score step: claim prepared frames, score them in one batch, and tell of a finding in the same transaction."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import structlog
import zstandard
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from dicom_io.reasons import Reason
from worker.faults import Fault
from worker.holding import Held
from worker.inference import Engine, Scores
from worker.model.judgement import judge_frame
from worker.queues import Queue
from worker.repository.claims import release
from worker.repository.model_versions import is_champion
from worker.repository.preparation import prepare_again
from worker.repository.scoring import (
    FrameScore,
    FrameWork,
    claim_frames,
    fail_frames,
    finish_frames,
    retry_frames,
)
from worker.service import Service
from worker.stating import Speaker
from worker.tables import Score

_log = structlog.get_logger()


Film = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores frames with one engine and says what it finds."""

    service: Service
    engine: Engine
    speaker: Speaker

    def score_next_batch(self) -> bool:
        """Score up to `batch_size` frames, most urgent first; returns whether there were any."""
        work = self._claim()
        if not work:
            return False
        with Held(partial(self._retry, work)):
            self._score_held(work)
        return True

    def _score_held(self, work: Sequence[FrameWork]) -> None:
        films = [self._film(frame) for frame in work]
        ready = [(frame, film) for frame, film in zip(work, films, strict=True) if film is not None]
        damaged = [
            frame.score_id for frame, film in zip(work, films, strict=True) if film is None and frame.pixels is not None
        ]
        unprepared = [frame.score_id for frame in work if frame.pixels is None]
        answers = self._score(ready) if ready else []
        scores = [score for score in answers if math.isfinite(score.judgement.logit)]
        nonsense = [score.score_id for score in answers if not math.isfinite(score.judgement.logit)]
        with self.service.database.begin() as session:
            told = self._finish(session, work, scores)
        self._fail(damaged, Reason.NOT_PREPARED)
        self._fail(nonsense, Reason.NO_SCORE)
        self._give_back(unprepared)
        if told:
            self.service.wake(Queue.DELIVER)
        counts = {"damaged": len(damaged), "unprepared": len(unprepared), "nonsense": len(nonsense)}
        _log.info("scored", frames=len(scores), told=told, **counts)

    def _retry(self, work: Sequence[FrameWork], fault: Fault, counted: bool) -> None:
        # While the network answers for no film at all the fault is this host's: it must not empty the queue into
        # quarantine.
        counted = counted and self._engine_answers()
        now, ids = self.service.now(), [frame.score_id for frame in work]
        with self.service.database.begin() as session:
            retry_frames(session, ids, fault, now=now, policy=self.service.image_policy, counted=counted)
        _log.warning("score-retry", frames=len(ids), error=fault.error, counted=counted)

    def _engine_answers(self) -> bool:
        size = self.engine.card.input_spec.size
        try:
            self.engine.score(np.zeros((1, size, size), np.uint8))
        except (MemoryError, RuntimeError):  # RuntimeError: whatever CUDA says
            return False
        return True

    def _claim(self) -> list[FrameWork]:
        with self.service.database.begin() as session:
            return claim_frames(
                session,
                limit=self.service.settings.batch_size,
                input_spec_sha256=self.engine.card.input_spec.sha256,
                now=self.service.now(),
                policy=self.service.image_policy,
            )

    def _film(self, frame: FrameWork) -> Film | None:
        # None where no film of the model's size can be had, so that one damaged row fails alone and not its batch.
        size = self.engine.card.input_spec.size
        try:
            raw = zstandard.ZstdDecompressor().decompress(frame.pixels or b"", max_output_size=size * size)
            return np.frombuffer(raw, np.uint8).reshape(size, size)
        except (zstandard.ZstdError, ValueError):
            return None

    def _score(self, work: Sequence[tuple[FrameWork, Film]]) -> list[FrameScore]:
        scores = self.engine.score(np.stack([film for _, film in work]))  # (N, size, size)
        return [self._frame_score(frame, scores, index) for index, (frame, _) in enumerate(work)]

    def _frame_score(self, frame: FrameWork, scores: Scores, index: int) -> FrameScore:
        distance = float(scores.scope_distances[index])
        judgement = judge_frame(self.engine.card, float(scores.logits[index]), distance)
        activation_map = scores.activation_maps[index].astype("<f2").tobytes()
        return FrameScore(frame.score_id, judgement, activation_map)

    def _fail(self, score_ids: Sequence[int], reason: Reason) -> None:
        if not score_ids:
            return
        with self.service.database.begin() as session:  # of its own, so that each takes its studies in one order
            fail_frames(session, score_ids, reason, self.service.now())

    def _give_back(self, score_ids: Sequence[int]) -> None:
        """Have films prepared for this model that were prepared for another one's input.

        While another model is in service, which this host could not load, nobody prepares for this one: they wait.
        """
        if not score_ids:
            return
        now, policy = self.service.now(), self.service.image_policy
        with self.service.database.begin() as session:
            if is_champion(session, self.speaker.champion):
                prepare_again(session, score_ids, now=now, policy=policy)
                return
            for score_id in score_ids:
                release(session, Score, score_id, "waits for its model", now=now, policy=policy, counted=False)

    def _finish(self, session: Session, work: Sequence[FrameWork], scores: Sequence[FrameScore]) -> int:
        now = self.service.now()
        finish_frames(session, scores, model_version_id=self.speaker.champion.id, now=now)
        flagged = {score.score_id for score in scores if score.judgement.flagged}
        studies = sorted({frame.study_id for frame in work if frame.score_id in flagged})
        return sum(self.speaker.state_finding(session, study_id, now) for study_id in studies)
