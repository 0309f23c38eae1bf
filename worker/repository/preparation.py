"""Work and outcomes of the prepare step."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from dicom_io.reasons import Reason
from worker.domain import ImageState, Origin
from worker.faults import Fault
from worker.repository.audit import record
from worker.repository.claims import ClaimPolicy, claim, died_in, note_death, release
from worker.repository.corrections import follow_newest_header, newest_header
from worker.repository.intake import insert_if_absent
from worker.repository.moving_on import move_on
from worker.repository.noted_rejections import noted_rejection
from worker.repository.results import lock_studies
from worker.repository.scoring import fail_frames
from worker.repository.synthetic import mark
from worker.tables import Image, PreparedImage, Score, Study

FILE_PURGED = "retention has removed the received file: send the image again, then `cxr-triage quarantine retry`"


@dataclass(frozen=True, slots=True)
class ImageWork:
    """An image to prepare."""

    image_id: int
    study_instance_uid: str
    content_sha256: str


@dataclass(frozen=True, slots=True)
class Preparation:
    """What prepare found.

    Attributes:
        frames: zstd-compressed pixels per frame; empty unless the image is in scope and readable.
        state: PREPARED, OUT_OF_SCOPE or FAILED.
        header: encoded header data set; None if it could not be read or the source has none.
        fault: for the operator if FAILED.
    """

    state: ImageState
    frames: tuple[bytes, ...] = ()
    reason: Reason | None = None
    warnings: tuple[str, ...] = ()
    header: bytes | None = None
    fault: Fault | None = None


def claim_image(session: Session, *, now: datetime, policy: ClaimPolicy) -> ImageWork | None:
    """Take the most urgent image that waits to be prepared."""
    ids = claim(session, Image, limit=1, now=now, policy=policy)
    if not ids:
        return None
    image = session.get_one(Image, ids[0], populate_existing=True)
    uid = session.get_one(Study, image.study_id).study_instance_uid
    if image.last_error == died_in(image.attempts - 1):
        _record_retry(session, image, uid, now)
    return ImageWork(image.id, uid, image.content_sha256)


def retry_image(
    session: Session, work: ImageWork, fault: Fault, *, now: datetime, policy: ClaimPolicy, counted: bool
) -> None:
    """Give an image back whose preparation failed in a way that may pass, and say so in the audit trail."""
    trace = fault.traceback
    if release(session, Image, work.image_id, fault.error, now=now, policy=policy, counted=counted, traceback=trace):
        _record_retry(session, session.get_one(Image, work.image_id), work.study_instance_uid, now)


def finish_image(
    session: Session, work: ImageWork, preparation: Preparation, *, input_spec_sha256: str, now: datetime
) -> bool:
    """Store what prepare found, unless somebody else already did or the image was superseded meanwhile.

    What the image says otherwise of its patient and study than the one before it is a correction of the study. A
    rejection note that came at the same moment as the image is seen here at last.

    Returns:
        Whether the image moved on; False if there was nothing left to say.
    """
    study = _study_of(session, work.image_id)
    before = newest_header(session, study.id)
    sop_instance_uid = session.get_one(Image, work.image_id).sop_instance_uid
    noted = noted_rejection(work.study_instance_uid, sop_instance_uid, image_id=work.image_id)
    moved = (
        update(Image)
        .where(Image.id == work.image_id, Image.state == ImageState.RECEIVED)
        .values(
            state=preparation.state,
            reason=preparation.reason,
            warnings=list(preparation.warnings),
            header=preparation.header,
            rejection=func.coalesce(Image.rejection, noted),
            lease_until=None,
            last_error=None if preparation.fault is None else preparation.fault.error,
            traceback=None if preparation.fault is None else preparation.fault.traceback,
        )
    )
    row = session.execute(moved.returning(Image.urgency)).one_or_none()
    if row is None:
        return False
    scored = session.scalars(select(Score.frame).where(Score.image_id == work.image_id)).all()
    for number, pixels in enumerate(preparation.frames, start=1):
        _add_frame(session, work, number, pixels, input_spec_sha256, now)
        if number not in scored:  # by a model with another input, before the image was prepared again
            session.execute(insert(Score).values(**_new_score(work, number, row.urgency, now)))
    follow_newest_header(session, study, before, now)
    error = {} if preparation.fault is None else {"error": preparation.fault.error}
    detail = {"image_id": work.image_id, "reason": preparation.reason, **error, **mark(synthetic=study.synthetic)}
    record(session, f"image-{preparation.state}", now, work.study_instance_uid, **detail)
    if scored:
        move_on(session, [work.image_id], now)  # every frame may have its score already
    return True


def prepare_again(session: Session, score_ids: Sequence[int], *, now: datetime, policy: ClaimPolicy) -> None:
    """Have images prepared anew whose pixels are not those of the model's input; frames with a score keep it.

    It counts as an attempt on the image, so that two hosts which disagree on the model cannot hand it over for ever.
    An image whose file retention took away cannot be prepared again: its frames fail.
    """
    lock_studies(session, session.scalars(select(Score.image_id).where(Score.id.in_(score_ids)).distinct()).all())
    gone = select(Score.id).join(Image).where(Score.id.in_(score_ids), Image.purged_at.is_not(None))
    fail_frames(session, session.scalars(gone).all(), Reason.NOT_PREPARED, now, error=FILE_PURGED)
    kept = select(Score.image_id).join(Image).where(Score.id.in_(score_ids), Image.purged_at.is_(None))
    image_ids = session.scalars(kept.distinct()).all()
    session.execute(delete(Score).where(Score.image_id.in_(image_ids), Score.logit.is_(None)))
    for image in session.scalars(select(Image).where(Image.id.in_(image_ids), Image.state == ImageState.PREPARED)):
        image.state, image.not_before = ImageState.RECEIVED, now + policy.delay(image.attempts)


def fail_exhausted_images(session: Session, image_ids: Sequence[int], now: datetime) -> None:
    """Set images aside whose every attempt failed or killed its worker, unless they moved on at the last moment."""
    lock_studies(session, image_ids)
    waiting = select(Image).where(Image.id.in_(image_ids), Image.state == ImageState.RECEIVED).with_for_update()
    for image in session.scalars(waiting).all():
        note_death(image)
        image.state, image.reason = ImageState.FAILED, Reason.ATTEMPTS_EXHAUSTED
        study = session.get_one(Study, image.study_id)
        detail = {"image_id": image.id, "error": image.last_error, **mark(synthetic=study.synthetic)}
        record(session, "image-failed", now, study.study_instance_uid, reason=image.reason, **detail)


def _record_retry(session: Session, image: Image, study_instance_uid: str, now: datetime) -> None:
    detail = {"image_id": image.id, "attempts": image.attempts}
    record(session, "image-retry", now, study_instance_uid, step="prepare", error=image.last_error, **detail)


def _study_of(session: Session, image_id: int) -> Study:
    statement = select(Study).join(Image).where(Image.id == image_id)
    return session.scalars(statement.with_for_update(of=Study)).one()


def _add_frame(
    session: Session, work: ImageWork, number: int, pixels: bytes, input_spec_sha256: str, now: datetime
) -> None:
    session.execute(
        insert_if_absent(session, PreparedImage).values(
            content_sha256=work.content_sha256,
            frame=number,
            input_spec_sha256=input_spec_sha256,
            pixels=pixels,
            created_at=now,
        )
    )


def _new_score(work: ImageWork, number: int, urgency: int, now: datetime) -> dict[str, object]:
    return {
        "image_id": work.image_id,
        "content_sha256": work.content_sha256,
        "frame": number,
        "origin": Origin.LIVE,
        "urgency": urgency,
        "created_at": now,
    }
