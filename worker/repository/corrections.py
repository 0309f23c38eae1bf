"""What the study's newest header says of its patient and itself; what is sent repeats it."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_io.header import changed_attributes, decode_header
from dicom_io.identification import accession_number
from worker.repository.audit import record
from worker.tables import Image, Study


def newest_header(session: Session, study_id: int) -> bytes | None:
    """Return the header of the image that was received last, also of one that was replaced since.

    That of a rejected image counts only where there is no other: it may name another patient.
    """
    newest = (
        select(Image.header)
        .where(Image.study_id == study_id, Image.header.is_not(None))
        .order_by(Image.rejection.is_not(None), Image.received_at.desc(), Image.id.desc())
    )
    return session.scalar(newest.limit(1))


def follow_newest_header(session: Session, study: Study, before: bytes | None, now: datetime) -> None:
    """Count and record a correction if the newest header says something else than the one that was newest before."""
    after = newest_header(session, study.id)
    if before is None or after is None or before == after:
        return
    changed = changed_attributes(before, after)
    if not changed:
        return
    study.corrections += 1
    if "AccessionNumber" in changed:
        study.accession_number = accession_number(decode_header(after))
    number = study.corrections
    record(session, "study-corrected", now, study.study_instance_uid, attributes=changed, corrections=number)
