"""Work and outcomes of the score step."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, exists, select, update
from sqlalchemy.orm import Session

from dicom_io.reasons import Reason
from worker.domain import ImageState
from worker.faults import Fault
from worker.model.judgement import FrameJudgement
from worker.repository.audit import record
from worker.repository.claims import ClaimPolicy, claim, died_in, is_free, is_work, note_death, release
from worker.repository.moving_on import move_on
from worker.repository.prepared_pixels import complete, pixels_of_score
from worker.repository.results import lock_studies
from worker.tables import Image, Score, Study

_UNSYNCHRONISED = {"synchronize_session": False}


@dataclass(frozen=True, slots=True)
class FrameWork:
    """A claimed frame; `pixels` is zstd-compressed, None if no prepared image of the model's input spec is there.

    `synthetic` is the study of the doctor's own film.
    """

    score_id: int
    image_id: int
    study_id: int
    urgency: int
    attempts: int
    study_instance_uid: str
    synthetic: bool
    pixels: bytes | None

    @property
    def is_retried(self) -> bool:
        """Whether an attempt on it failed before, so that it must be scored alone."""
        return self.attempts > 1


@dataclass(frozen=True, slots=True)
class FrameScore:
    """One frame's outcome.

    `activation_map` is float16, little endian bytes: (7, 7) at 224 pixels, (14, 14) of a baseline-cnn.
    """

    score_id: int
    judgement: FrameJudgement
    activation_map: bytes


def claim_frames(
    session: Session, *, limit: int, input_spec_sha256: str, now: datetime, policy: ClaimPolicy
) -> list[FrameWork]:
    """Take up to `limit` frames to score, most urgent first, with their pixels.

    A frame that is tried again is tried alone, so that one which kills its worker takes no other patient's with it.
    """
    ids = claim(session, Score, limit=limit, now=now, policy=policy)
    work = _load(session, ids, input_spec_sha256) if ids else []
    if not any(frame.is_retried for frame in work):
        return work
    # The most urgent one decides: what failed before and may fail again holds up nothing that is more urgent.
    taken = work[:1] if work[0].is_retried else [frame for frame in work if not frame.is_retried]
    give_back_frames(session, [frame.score_id for frame in work if frame not in taken], now + policy.lease)
    if work[0].is_retried:
        _record_deaths(session, [work[0].score_id], now)
    return taken


def give_back_frames(session: Session, score_ids: Sequence[int], claimed_until: datetime) -> None:
    """Undo a claim, as if it had never been: nobody worked on these frames, which are free and due at once.

    Args:
        session: of the caller's transaction.
        score_ids: what was claimed.
        claimed_until: the end of the claim's lease; a frame that somebody else has claimed since is left alone.
    """
    mine = update(Score).where(Score.id.in_(score_ids), Score.lease_until == claimed_until, is_work(Score))
    session.execute(mine.values(attempts=Score.attempts - 1, lease_until=None), execution_options=_UNSYNCHRONISED)


def waits_more_urgent(session: Session, than: int, *, now: datetime, policy: ClaimPolicy) -> bool:
    """Tell whether a frame of higher urgency could be claimed."""
    free = (is_work(Score), is_free(Score, now, policy), Score.attempts < policy.max_attempts)
    return bool(session.scalar(select(exists().where(*free, Score.urgency > than))))


def retry_frames(
    session: Session, score_ids: Sequence[int], fault: Fault, *, now: datetime, policy: ClaimPolicy, counted: bool
) -> None:
    """Give frames back whose batch failed in a way that may pass, and say so in the audit trail."""
    trace = fault.traceback
    given_back = [
        score_id
        for score_id in score_ids
        if release(session, Score, score_id, fault.error, now=now, policy=policy, counted=counted, traceback=trace)
    ]
    _record_retries(session, given_back, now)


def finish_frames(session: Session, scores: Sequence[FrameScore], *, model_version_id: int, now: datetime) -> None:
    """Write the scores that are still missing, and move images whose every frame is scored or failed.

    An answer that comes after its frame was given up is still written, as it may be a finding.
    """
    if not scores:
        return
    image_ids = _lock_images(session, [score.score_id for score in scores])
    missing = update(Score).where(Score.id == bindparam("score"), Score.logit.is_(None))
    columns: dict[str, Any] = {name: bindparam(f"new_{name}") for name in (*FrameJudgement.__slots__, "activation_map")}
    written = missing.values(**columns, model_version_id=model_version_id, scored_at=now, lease_until=None)
    session.connection().execute(written, [_parameters(score) for score in scores])
    move_on(session, image_ids, now)


def fail_frames(
    session: Session, score_ids: Sequence[int], reason: Reason, now: datetime, *, error: str | None = None
) -> None:
    """End the work on frames that cannot be scored; an image fails once its other frames are scored or failed too.

    The others go on, as any of them may hold the finding. `error` is kept on the frames; without it what they failed
    with last.
    """
    image_ids = _lock_images(session, score_ids)
    waiting = select(Score).where(Score.id.in_(score_ids), Score.scored_at.is_(None)).with_for_update()
    for frame in session.scalars(waiting).all():
        note_death(frame)
        frame.scored_at, frame.lease_until = now, None
        frame.last_error = error or frame.last_error
    for image_id in image_ids:
        image = session.get_one(Image, image_id)
        if image.state == ImageState.PREPARED:
            image.reason = reason
            move_on(session, [image_id], now)


def _load(session: Session, score_ids: Sequence[int], input_spec_sha256: str) -> list[FrameWork]:
    rows = session.execute(
        select(Score.id, Image.id, Image.study_id, Score.urgency, Score.attempts)
        .add_columns(Study.study_instance_uid, Study.synthetic, pixels_of_score(session, input_spec_sha256))
        .join(Image, Image.id == Score.image_id)
        .join(Study, Study.id == Image.study_id)
        .where(Score.id.in_(score_ids))
        .order_by(Score.urgency.desc(), Score.id)
    ).all()
    return [FrameWork(*row) for row in complete(session, rows, input_spec_sha256)]


def _parameters(score: FrameScore) -> dict[str, object]:
    new = {f"new_{name}": getattr(score.judgement, name) for name in FrameJudgement.__slots__}
    return {"score": score.score_id, "new_activation_map": score.activation_map, **new}


def _lock_images(session: Session, score_ids: Sequence[int]) -> Sequence[int]:
    image_ids = session.scalars(select(Score.image_id).where(Score.id.in_(score_ids)).distinct()).all()
    lock_studies(session, image_ids)
    return image_ids


def _record_deaths(session: Session, score_ids: Sequence[int], now: datetime) -> None:
    retried = session.scalars(select(Score).where(Score.id.in_(score_ids), Score.attempts > 1)).all()
    _record_retries(session, [s.id for s in retried if s.last_error == died_in(s.attempts - 1)], now)


def _record_retries(session: Session, score_ids: Sequence[int], now: datetime) -> None:
    rows = select(Score, Study.study_instance_uid).join(Image, Image.id == Score.image_id).join(Study)
    for frame, uid in session.execute(rows.where(Score.id.in_(score_ids)).order_by(Score.id)):
        detail = {"image_id": frame.image_id, "frame": frame.frame, "attempts": frame.attempts}
        record(session, "image-retry", now, uid, step="score", error=frame.last_error, **detail)
