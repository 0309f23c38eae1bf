"""Work and outcomes of the score step."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_io.reasons import Reason
from worker.domain import ImageState
from worker.model.judgement import STRANGE_FLAGGED_IMAGE, FrameJudgement
from worker.repository.audit import record
from worker.repository.claims import ClaimPolicy, claim
from worker.repository.results import lock_studies
from worker.tables import Image, PreparedImage, Score, Study


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
        _finish_image(session, image_id, now)


def fail_frames(session: Session, score_ids: Sequence[int], reason: Reason, now: datetime) -> None:
    """End the work on frames that cannot be scored; an image fails once its other frames are scored or failed too.

    The others go on, as any of them may hold the finding.
    """
    image_ids = _lock_images(session, score_ids)
    waiting = update(Score).where(Score.id.in_(score_ids), Score.scored_at.is_(None))
    session.execute(waiting.values(scored_at=now, lease_until=None))
    for image_id in image_ids:
        image = session.get_one(Image, image_id)
        if image.state == ImageState.PREPARED:
            image.reason = reason
            _finish_image(session, image_id, now)


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


def _finish_image(session: Session, image_id: int, now: datetime) -> None:
    frames = session.scalars(select(Score).where(Score.image_id == image_id)).all()
    image = session.get_one(Image, image_id)
    if image.state != ImageState.PREPARED or any(frame.scored_at is None for frame in frames):
        return
    if any(frame.logit is None for frame in frames):  # its reason stands since the frame failed
        image.state = ImageState.FAILED
        uid = session.get_one(Study, image.study_id).study_instance_uid
        record(session, "image-failed", now, uid, image_id=image_id, reason=image.reason)
    elif all(frame.strange and not frame.flagged for frame in frames):
        image.state, image.reason = ImageState.OUT_OF_SCOPE, Reason.OUT_OF_SCOPE_IMAGE
    else:
        image.state = ImageState.SCORED
    if any(frame.strange and frame.flagged for frame in frames):
        image.warnings = [*image.warnings, STRANGE_FLAGGED_IMAGE]
