"""Rejection notes: which objects they name, and the images that they take out of what is said."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import astuple
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from dicom_io.rejection import RejectedObject, Rejection, RejectionNote
from dicom_io.types import SOPInstanceReference
from worker.repository.audit import record
from worker.repository.corrections import follow_newest_header, newest_header
from worker.repository.intake import insert_if_absent
from worker.repository.noted_rejections import WRONG_PATIENT
from worker.tables import Image, RejectedInstance, Study


def record_rejection(session: Session, note: RejectionNote, reference: SOPInstanceReference, now: datetime) -> None:
    """Record a note, keep what it names, and apply it to the images that are here; harmless when it comes again.

    A study whose images it names is said again: its revision rises. It applies to the bytes that came before it, and to
    the first that come after it if none did; other bytes under the same UID that follow later are the sender's newer
    word and are screened.
    """
    note_uid = reference.sop_instance_uid
    by_study: defaultdict[str, list[str]] = defaultdict(list)
    for rejected in sorted(note.objects, key=astuple):  # in one order, as two listeners may take the same note
        statement = insert_if_absent(session, RejectedInstance)
        values = _row(rejected, note, note_uid, now)
        if session.scalar(statement.values(**values).returning(RejectedInstance.code)) is not None:
            by_study[rejected.study_instance_uid].append(rejected.sop_instance_uid)
    known = select(Study).where(Study.study_instance_uid.in_(by_study)).order_by(Study.id).with_for_update()
    images = sum(
        _reject(session, study, by_study[study.study_instance_uid], note.rejection, note_uid, now)
        for study in session.scalars(known).all()
    )
    counts = {"objects": len(note.objects), "images": images}
    named = {"sop_instance_uid": note_uid, "rejection": note.rejection}
    record(session, "rejection-note", now, reference.study_instance_uid, **named, **counts)


def _row(rejected: RejectedObject, note: RejectionNote, note_uid: str, now: datetime) -> dict[str, object]:
    return {
        "note_sop_instance_uid": note_uid,
        "study_instance_uid": rejected.study_instance_uid,
        "sop_instance_uid": rejected.sop_instance_uid,
        "code": note.rejection,
        "received_at": now,
    }


def _reject(
    session: Session, study: Study, uids: Iterable[str], rejection: Rejection, note_uid: str, now: datetime
) -> int:
    before = newest_header(session, study.id)
    open_to_it = or_(Image.rejection.is_(None), Image.rejection.not_in([*WRONG_PATIENT, rejection]))
    named = update(Image).where(Image.study_id == study.id, Image.sop_instance_uid.in_(list(uids)), open_to_it)
    changed = sorted(set(session.scalars(named.values(rejection=rejection).returning(Image.sop_instance_uid))))
    if not changed:
        return 0
    study.revision += 1
    study.last_received_at = now
    detail = {"note_sop_instance_uid": note_uid, "rejection": rejection}
    record(session, "images-rejected", now, study.study_instance_uid, **detail, sop_instance_uids=changed)
    follow_newest_header(session, study, before, now)
    return len(changed)
