"""Images that were set aside: which, why, and back to work."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from worker.domain import ImageState
from worker.repository.audit import record
from worker.repository.results import lock_studies
from worker.tables import Event, Image, PreparedImage, Score, Study


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class QuarantinedFrame(_View):
    """A frame without a score, and what its attempts ended with."""

    frame: int
    attempts: int
    last_error: str | None
    traceback: str | None


class QuarantinedImage(_View):
    """An image that was set aside; `file` says whether it can be prepared again: kept, or purged by retention."""

    image_id: int
    study_instance_uid: str
    sop_instance_uid: str
    calling_ae_title: str
    reason: str | None
    attempts: int
    last_error: str | None
    traceback: str | None
    received_at: datetime
    failed_at: datetime | None
    file: str
    frames: list[QuarantinedFrame]


@dataclass(frozen=True, slots=True)
class PutBack:
    """What a retry did.

    Attributes:
        images: ids of the images that are work again.
        purged: ids of those whose files are gone, so that they stay where they are.
    """

    images: Sequence[int]
    purged: Sequence[int]


def quarantined(session: Session, *conditions: ColumnElement[bool]) -> list[QuarantinedImage]:
    """Return the images that were set aside and meet the conditions, oldest first."""
    meant = (Image.state == ImageState.FAILED, *conditions)
    rows = select(Image, Study.study_instance_uid).join(Study).where(*meant)
    images = session.execute(rows.order_by(Image.id)).all()
    frames, failed_at = _failed_frames(session, *meant), _failed_at(session, *meant)
    return [_view(image, uid, frames[image.id], failed_at.get(image.id)) for image, uid in images]


def put_back(session: Session, image_ids: Sequence[int], now: datetime, *, due_at: datetime, by: str) -> PutBack:
    """Make images that were set aside work again, with fresh attempts, from the received file on.

    The revision of their study rises, which re-opens it: a result is unique per (study, revision, model, stage), and
    the one that follows must be a new one that supersedes what was said. Frames that have a score keep it.

    Args:
        session: of the caller's transaction.
        image_ids: what is not set aside is left alone.
        now: present time.
        due_at: when their studies are overdue unless screened.
        by: who asked for it.
    """
    lock_studies(session, image_ids)
    set_aside = select(Image).where(Image.id.in_(image_ids), Image.state == ImageState.FAILED).order_by(Image.id)
    images = session.scalars(set_aside.with_for_update()).all()
    purged = [image.id for image in images if image.purged_at is not None]
    kept = [image for image in images if image.purged_at is None]
    for image in kept:
        _start_over(session, image)
    for study in session.scalars(select(Study).where(Study.id.in_({image.study_id for image in kept}))):
        study.revision, study.due_at = study.revision + 1, due_at
        for image in kept:
            if image.study_id == study.id:
                record(session, "image-put-back", now, study.study_instance_uid, image_id=image.id, by=by)
    return PutBack([image.id for image in kept], purged)


def _start_over(session: Session, image: Image) -> None:
    image.state, image.reason, image.warnings = ImageState.RECEIVED, None, []
    image.attempts, image.lease_until, image.not_before = 0, None, None
    image.last_error = image.traceback = None
    image.withdrawn = False  # a reader's word was about the frames that had a score; what the others show may raise
    session.execute(delete(Score).where(Score.image_id == image.id, Score.logit.is_(None)))
    session.execute(delete(PreparedImage).where(PreparedImage.content_sha256 == image.content_sha256))  # may be damaged


def _failed_frames(session: Session, *meant: ColumnElement[bool]) -> defaultdict[int, list[QuarantinedFrame]]:
    frames: defaultdict[int, list[QuarantinedFrame]] = defaultdict(list)
    rows = select(Score).join(Image).join(Study).where(*meant, Score.logit.is_(None)).order_by(Score.id)
    for frame in session.scalars(rows):
        frames[frame.image_id].append(QuarantinedFrame.model_validate(frame))
    return frames


def _failed_at(session: Session, *meant: ColumnElement[bool]) -> dict[int, datetime]:
    studies = select(Study.study_instance_uid).join(Image).where(*meant)
    failed = select(Event).where(Event.study_instance_uid.in_(studies), Event.kind == "image-failed")
    return {event.detail["image_id"]: event.at for event in session.scalars(failed.order_by(Event.id))}


def _view(
    image: Image, study_instance_uid: str, frames: list[QuarantinedFrame], failed_at: datetime | None
) -> QuarantinedImage:
    return QuarantinedImage(
        image_id=image.id,
        study_instance_uid=study_instance_uid,
        sop_instance_uid=image.sop_instance_uid,
        calling_ae_title=image.calling_ae_title,
        reason=image.reason,
        attempts=max([image.attempts, *(frame.attempts for frame in frames)]),
        last_error=image.last_error,
        traceback=image.traceback,
        received_at=image.received_at,
        failed_at=failed_at,
        file="kept" if image.purged_at is None else "purged",
        frames=frames,
    )
