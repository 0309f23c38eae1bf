"""What the listener records."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import delete, exists, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from dicom_io.types import SOPInstanceReference
from worker.domain import ImageState, Urgency
from worker.repository.audit import record
from worker.repository.corrections import follow_newest_header, newest_header
from worker.repository.noted_rejections import noted_rejection
from worker.table_base import Base
from worker.tables import Image, Score, Study


class Receipt(StrEnum):
    """What an object turned out to be."""

    NEW = "new"
    DUPLICATE = "duplicate"
    REPLACEMENT = "replacement"


@dataclass(frozen=True, slots=True)
class IncomingImage:
    """A received object with pixels, already durable in the spool.

    Attributes:
        content_sha256: hash of the data set without file meta, 64 hex digits.
        data_set_bytes: its length.
        received_at: aware time of the last byte.
        due_at: when the study is overdue unless screened.
    """

    reference: SOPInstanceReference
    transfer_syntax_uid: str
    content_sha256: str
    data_set_bytes: int
    accession_number: str | None
    calling_ae_title: str
    urgency: Urgency
    received_at: datetime
    due_at: datetime


def record_image(session: Session, incoming: IncomingImage) -> Receipt:
    """Record the image and its work, once per content; a new content under a known UID supersedes the older one.

    Bytes that come again are a duplicate, unless they were superseded before they were judged: then nobody has looked
    at what the sender holds, and they take their place again.

    The study's revision rises with every change of its set of objects, which re-opens it.
    """
    study = _study_for_update(session, incoming)
    image_id = _insert_image(session, study.id, incoming) or _revive_unjudged(session, study, incoming)
    receipt = Receipt.DUPLICATE
    if image_id is not None:
        superseded = _supersede_others(session, study.id, image_id, incoming.reference.sop_instance_uid)
        receipt = Receipt.REPLACEMENT if superseded else Receipt.NEW
        if study.concluded_revision == study.revision or study.due_at <= incoming.received_at:
            study.due_at = incoming.due_at  # not before: a film every minute would put the due time off for ever
        study.revision += 1
        study.last_received_at = incoming.received_at
        study.accession_number = study.accession_number or incoming.accession_number
        _reopen(session, study, incoming)
    else:
        _keep_again(session, study.id, incoming)
    _record_receipt(session, incoming, receipt)
    return receipt


def record_other_object(
    session: Session, reference: SOPInstanceReference, calling_ae_title: str, now: datetime, fault: str | None = None
) -> None:
    """Record that a report, presentation state or the like came, or an object of our own; it opens no study.

    `fault` says why it could not be read, if it should have been.
    """
    detail = {
        "sop_class_uid": reference.sop_class_uid,
        "sop_instance_uid": reference.sop_instance_uid,
        "calling_ae_title": calling_ae_title,
        **({} if fault is None else {"fault": fault}),
    }
    record(session, "object-recorded", now, reference.study_instance_uid, **detail)


def insert_if_absent(session: Session, table: type[Base]) -> postgresql.Insert | sqlite.Insert:
    """Start an INSERT that leaves a row alone that a unique constraint finds already there."""
    dialect = session.get_bind().dialect.name
    statement = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    return statement.on_conflict_do_nothing()


def _study_for_update(session: Session, incoming: IncomingImage) -> Study:
    uid = incoming.reference.study_instance_uid
    session.execute(
        insert_if_absent(session, Study).values(
            study_instance_uid=uid,
            accession_number=incoming.accession_number,
            received_at=incoming.received_at,
            last_received_at=incoming.received_at,
            due_at=incoming.due_at,
        )
    )
    return session.scalars(select(Study).where(Study.study_instance_uid == uid).with_for_update()).one()


def _insert_image(session: Session, study_id: int, incoming: IncomingImage) -> int | None:
    statement = insert_if_absent(session, Image).values(
        study_id=study_id,
        series_instance_uid=incoming.reference.series_instance_uid,
        sop_class_uid=incoming.reference.sop_class_uid,
        sop_instance_uid=incoming.reference.sop_instance_uid,
        transfer_syntax_uid=incoming.transfer_syntax_uid,
        content_sha256=incoming.content_sha256,
        data_set_bytes=incoming.data_set_bytes,
        calling_ae_title=incoming.calling_ae_title,
        state=ImageState.RECEIVED,
        warnings=[],
        rejection=noted_rejection(incoming.reference.study_instance_uid, incoming.reference.sop_instance_uid),
        urgency=incoming.urgency,
        received_at=incoming.received_at,
    )
    return session.scalar(statement.returning(Image.id))


def _revive_unjudged(session: Session, study: Study, incoming: IncomingImage) -> int | None:
    before = newest_header(session, study.id)
    scored = exists().where(Score.image_id == Image.id, Score.logit.is_not(None))
    superseded = update(Image).where(
        Image.study_id == study.id,
        Image.sop_instance_uid == incoming.reference.sop_instance_uid,
        Image.content_sha256 == incoming.content_sha256,
        Image.state == ImageState.SUPERSEDED,
        Image.reason.is_(None),  # else two objects without a film would take each other's place at every sending
        ~scored,
    )
    fresh = superseded.values(
        state=ImageState.RECEIVED,
        attempts=0,
        lease_until=None,
        not_before=None,
        received_at=incoming.received_at,  # its header is the newest again
    )
    image_id = session.scalar(fresh.returning(Image.id), execution_options={"synchronize_session": False})
    if image_id is not None:
        session.execute(delete(Score).where(Score.image_id == image_id))
        follow_newest_header(session, study, before, incoming.received_at)
    return image_id


def _reopen(session: Session, study: Study, incoming: IncomingImage) -> None:
    """Take a study for unread again: nobody has seen this image."""
    if study.read_at is None:
        return
    study.read_at, study.reopened_at = None, incoming.received_at
    said = {"sop_instance_uid": incoming.reference.sop_instance_uid}
    record(session, "study-unread", incoming.received_at, incoming.reference.study_instance_uid, **said)


def _keep_again(session: Session, study_id: int, incoming: IncomingImage) -> None:
    """Note that the file of an image which retention had purged is in the spool again, as of now; no news otherwise."""
    known = (Image.study_id == study_id, Image.sop_instance_uid == incoming.reference.sop_instance_uid)
    purged = update(Image).where(*known, Image.content_sha256 == incoming.content_sha256, Image.purged_at.is_not(None))
    session.execute(purged.values(purged_at=None, kept_again_at=incoming.received_at))


def _supersede_others(session: Session, study_id: int, image_id: int, sop_instance_uid: str) -> bool:
    others = (Image.study_id == study_id, Image.sop_instance_uid == sop_instance_uid, Image.id != image_id)
    statement = update(Image).where(*others).values(state=ImageState.SUPERSEDED).returning(Image.id)
    return bool(session.scalars(statement).all())


def _record_receipt(session: Session, incoming: IncomingImage, receipt: Receipt) -> None:
    detail = {
        "receipt": receipt,
        "sop_instance_uid": incoming.reference.sop_instance_uid,
        "content_sha256": incoming.content_sha256,
        "calling_ae_title": incoming.calling_ae_title,
    }
    record(session, "image-received", incoming.received_at, incoming.reference.study_instance_uid, **detail)
