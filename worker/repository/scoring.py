"""Work and outcomes of the score step."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_io.reasons import Reason
from worker.domain import ImageState
from worker.faults import Fault
from worker.model.judgement import STRANGE_FLAGGED_IMAGE, FrameJudgement
from worker.repository.audit import record
from worker.repository.claims import ClaimPolicy, claim, died_in, note_death, release
from worker.repository.results import lock_studies
from worker.tables import Image, ModelVersion, PreparedImage, Score, Study


@dataclass(frozen=True, slots=True)
class FrameWork:
    """A frame to score; `pixels` is zstd-compressed, None if no prepared image of the model's input spec is there."""

    score_id: int
    image_id: int
    study_id: int
    pixels: bytes | None


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
    ids = _alone_if_retried(session, claim(session, Score, limit=limit, now=now, policy=policy))
    _record_deaths(session, ids, now)
    pixels_of_frame = (
        (PreparedImage.content_sha256 == Score.content_sha256)
        & (PreparedImage.frame == Score.frame)
        & (PreparedImage.input_spec_sha256 == input_spec_sha256)
    )
    rows = session.execute(
        select(Score.id, Image.id, Image.study_id, PreparedImage.pixels)
        .join(Image, Image.id == Score.image_id)
        .outerjoin(PreparedImage, pixels_of_frame)
        .where(Score.id.in_(ids))
        .order_by(Score.urgency.desc(), Score.id)
    )
    return [FrameWork(*row) for row in rows]


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
    ids = [score.score_id for score in scores]
    image_ids = _lock_images(session, ids)
    for score in scores:
        values = {**asdict(score.judgement), "activation_map": score.activation_map}
        statement = update(Score).where(Score.id == score.score_id, Score.logit.is_(None))
        session.execute(statement.values(**values, model_version_id=model_version_id, scored_at=now, lease_until=None))
    for image_id in image_ids:
        move_on(session, image_id, now)


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
            move_on(session, image_id, now)


def move_on(session: Session, image_id: int, now: datetime) -> None:
    """Give a prepared image its last state if its every frame is scored or failed; its study must be locked."""
    frames = session.scalars(select(Score).where(Score.image_id == image_id).order_by(Score.frame)).all()
    image = session.get_one(Image, image_id)
    if image.state != ImageState.PREPARED or any(frame.scored_at is None for frame in frames):
        return
    if any(frame.logit is None for frame in frames):  # its reason stands since the frame failed
        image.state = ImageState.FAILED
        image.last_error, image.traceback = _last_fault(frames)
    elif all(frame.strange and not frame.flagged for frame in frames):
        image.state, image.reason = ImageState.OUT_OF_SCOPE, Reason.OUT_OF_SCOPE_IMAGE
    else:
        image.state = ImageState.SCORED
    _record_end(session, image, frames, now)
    if any(frame.strange and frame.flagged for frame in frames):
        image.warnings = [*image.warnings, STRANGE_FLAGGED_IMAGE]


def _alone_if_retried(session: Session, ids: Sequence[int]) -> Sequence[int]:
    retried = select(Score.id).where(Score.id.in_(ids), Score.attempts > 1)
    first = session.scalars(retried.order_by(Score.urgency.desc(), Score.id).limit(1)).all()
    if not first:
        return ids
    others = update(Score).where(Score.id.in_(ids), Score.id.not_in(first))
    session.execute(others.values(attempts=Score.attempts - 1, lease_until=None))
    return first


def _lock_images(session: Session, score_ids: Sequence[int]) -> Sequence[int]:
    image_ids = session.scalars(select(Score.image_id).where(Score.id.in_(score_ids)).distinct()).all()
    lock_studies(session, image_ids)
    return image_ids


def _last_fault(frames: Sequence[Score]) -> tuple[str | None, str | None]:
    failed = [frame for frame in frames if frame.logit is None and frame.last_error is not None]
    return (failed[-1].last_error, failed[-1].traceback) if failed else (None, None)


def _record_end(session: Session, image: Image, frames: Sequence[Score], now: datetime) -> None:
    scored = [frame for frame in frames if frame.probability is not None]
    highest = max(scored, key=lambda frame: frame.probability or 0, default=None)
    model = None if highest is None else session.get(ModelVersion, highest.model_version_id)
    detail = {
        "image_id": image.id,
        "reason": image.reason,
        "error": image.last_error,
        "frames": len(frames),
        "probability": None if highest is None else highest.probability,
        "threshold": None if highest is None else highest.threshold,
        "flagged": any(frame.flagged for frame in frames),
        "model": None if model is None else f"{model.name} {model.version}",
        "model_sha256": None if model is None else model.sha256,
    }
    record(session, f"image-{image.state}", now, session.get_one(Study, image.study_id).study_instance_uid, **detail)


def _record_deaths(session: Session, score_ids: Sequence[int], now: datetime) -> None:
    retried = session.scalars(select(Score).where(Score.id.in_(score_ids), Score.attempts > 1)).all()
    _record_retries(session, [s.id for s in retried if s.last_error == died_in(s.attempts - 1)], now)


def _record_retries(session: Session, score_ids: Sequence[int], now: datetime) -> None:
    rows = select(Score, Study.study_instance_uid).join(Image, Image.id == Score.image_id).join(Study)
    for frame, uid in session.execute(rows.where(Score.id.in_(score_ids)).order_by(Score.id)):
        detail = {"image_id": frame.image_id, "frame": frame.frame, "attempts": frame.attempts}
        record(session, "image-retry", now, uid, step="score", error=frame.last_error, **detail)
