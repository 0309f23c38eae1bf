"""The score step: claim prepared frames, score them in one batch, and tell of a finding in the same transaction."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import structlog
from sqlalchemy.orm import Session

from dicom_io.reasons import Reason
from worker.domain import Urgency
from worker.errors import DeviceLostError
from worker.faults import Fault
from worker.films import DamagedFilmError, Film, unpack_film
from worker.holding import Held
from worker.inference import Engine, Pending, Scores
from worker.metrics.definitions import DISTANCE, FRAMES
from worker.model.judgement import judge_frame
from worker.observability import about_studies
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
    give_back_frames,
    retry_frames,
    waits_more_urgent,
)
from worker.service import Service
from worker.stating import Speaker
from worker.tables import Score

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores frames with one engine and says what it finds."""

    service: Service
    engine: Engine
    speaker: Speaker

    def claim(self) -> "Batch | None":
        """Claim up to `batch_size` frames, most urgent first, and unpack their films; None if none is due."""
        now, policy = self.service.now(), self.service.image_policy
        with self.service.database.begin() as session:
            work = claim_frames(
                session,
                limit=self.service.settings.batch_size,
                input_spec_sha256=self.engine.card.input_spec.sha256,
                now=now,
                policy=policy,
            )
        if not work:
            return None
        batch = Batch(self, work, claimed_until=now + policy.lease)
        with batch.held():
            batch.load()
        return batch

    def retry(self, work: Sequence[FrameWork], fault: Fault, *, counted: bool) -> None:
        """Give frames back whose batch failed, for another attempt."""
        # While the network answers for no film at all the fault is this host's: it must not empty the queue into
        # quarantine.
        counted = counted and self._engine_answers()
        now, ids = self.service.now(), [frame.score_id for frame in work]
        with self.service.database.begin() as session:
            retry_frames(session, ids, fault, now=now, policy=self.service.image_policy, counted=counted)
        with about_studies(frame.study_instance_uid for frame in work):
            _log.warning("score-retry", frames=len(ids), error=fault.error, counted=counted)

    def write(self, batch: "Batch", scores: Scores | None) -> None:
        """Write what the network said of a batch, and tell of what it found."""
        answers = [] if scores is None else [self._frame_score(f, scores, n) for n, f in enumerate(batch.ready)]
        good = [answer for answer in answers if math.isfinite(answer.judgement.logit)]
        nonsense = [answer.score_id for answer in answers if not math.isfinite(answer.judgement.logit)]
        with self.service.database.begin() as session:
            told = self._finish(session, batch.ready, good)
        _count(batch.ready, good)
        self._fail(nonsense, Reason.NO_SCORE)
        for score_id, error in batch.damaged.items():
            self._fail([score_id], Reason.NOT_PREPARED, error)
        self._give_back([frame.score_id for frame in batch.work if frame.pixels is None])
        if told:
            self.service.wake(Queue.DELIVER)
        counts = {"damaged": len(batch.damaged), "unprepared": batch.unprepared, "nonsense": len(nonsense)}
        with about_studies(frame.study_instance_uid for frame in batch.work):
            _log.info("scored", frames=len(good), told=told, **counts)

    def _engine_answers(self) -> bool:
        size = self.engine.card.input_spec.size
        try:
            self.engine.score(np.zeros((1, size, size), np.uint8))
        except (MemoryError, RuntimeError, DeviceLostError):  # RuntimeError: whatever CUDA says
            return False
        return True

    def _frame_score(self, frame: FrameWork, scores: Scores, index: int) -> FrameScore:
        distance = float(scores.scope_distances[index])
        judgement = judge_frame(self.engine.card, float(scores.logits[index]), distance)
        activation_map = scores.activation_maps[index].astype("<f2").tobytes()
        return FrameScore(frame.score_id, judgement, activation_map)

    def _fail(self, score_ids: Sequence[int], reason: Reason, error: str | None = None) -> None:
        if not score_ids:
            return
        with self.service.database.begin() as session:  # of its own, so that each takes its studies in one order
            fail_frames(session, score_ids, reason, self.service.now(), error=error)

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


def _count(frames: Sequence[FrameWork], scores: Sequence[FrameScore]) -> None:
    synthetic = {frame.score_id for frame in frames if frame.synthetic}
    for score in scores:
        if score.score_id not in synthetic:
            judgement = score.judgement
            FRAMES.labels(str(judgement.flagged).lower()).inc()
            DISTANCE.observe(judgement.logit - judgement.threshold_logit)


@dataclass(eq=False)
class Batch:
    """Claimed frames on their way through the network of the scorer that claimed them.

    Attributes:
        scorer: whose model scores them, whichever is in service by then.
        work: the frames.
        claimed_until: the end of their lease.
        ready: the frames whose films go into the network.
        damaged: ids of the frames whose prepared image is none, and what is wrong with it.
    """

    scorer: Scorer
    work: Sequence[FrameWork]
    claimed_until: datetime
    ready: list[FrameWork] = field(default_factory=list)
    damaged: dict[int, str] = field(default_factory=dict)
    _films: list[Film] = field(default_factory=list)
    _pending: Pending | None = None

    @property
    def is_retried(self) -> bool:
        """Whether it is one frame that failed before, which may take down what is under way beside it."""
        return self.work[0].is_retried

    @property
    def unprepared(self) -> int:
        """How many frames have no film for the model's input."""
        return sum(frame.pixels is None for frame in self.work)

    def held(self) -> Held:
        """Return a block that gives the frames back if it ends with an exception."""
        return Held(lambda fault, counted: self.scorer.retry(self.work, fault, counted=counted))

    def load(self) -> None:
        """Unpack the films; one that is damaged is set aside alone."""
        size = self.scorer.engine.card.input_spec.size
        for frame in self.work:
            if frame.pixels is None:
                continue
            try:
                self._films.append(unpack_film(frame.pixels, size))
                self.ready.append(frame)
            except DamagedFilmError as error:
                self.damaged[frame.score_id] = str(error)
                identity = {"image_id": frame.image_id, "score_id": frame.score_id}
                with about_studies([frame.study_instance_uid]):
                    _log.error("prepared-image-damaged", **identity, error=str(error))

    def start(self) -> None:
        """Send the films into the network, unless they are there already; returns at once."""
        if self._films and self._pending is None:
            self._pending = self.scorer.engine.start(np.stack(self._films))  # (N, size, size)

    def wait(self) -> None:
        """Return when the device is through with them; with the errors of `Pending.wait`."""
        if self._pending is not None:
            self._pending.wait()

    def score(self) -> None:
        """Do all of it, and give the frames back if that fails."""
        with self.held():
            self.start()
            self.finish()

    def finish(self) -> None:
        """Wait for the scores and write them; with the errors of `Pending.result` and of the database."""
        self.scorer.write(self, None if self._pending is None else self._pending.result())

    def is_overtaken(self) -> bool:
        """Tell whether a frame that is more urgent than the least urgent one of these could be claimed by now."""
        service, least = self.scorer.service, min(frame.urgency for frame in self.work)
        if least >= Urgency.HIGH:
            return False
        with service.database.read() as session:
            return waits_more_urgent(session, least, now=service.now(), policy=service.image_policy)

    def give_back(self) -> None:
        """Undo the claim: nothing counts as an attempt, and another worker may have the frames at once."""
        with self.scorer.service.database.begin() as session:
            give_back_frames(session, [frame.score_id for frame in self.work], self.claimed_until)
