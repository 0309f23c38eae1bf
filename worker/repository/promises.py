"""What is kept because storage commitment promised it: which objects a request means, and how long they stay."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, or_, select, update
from sqlalchemy.orm import Session

from dicom_io.commitment import ObjectReference
from dicom_io.commitment_report import CommitmentReport, FailureReason
from worker.domain import ImageState
from worker.repository.commitments import CommitmentWork, record_per_study
from worker.repository.results import lock_studies
from worker.tables import Commitment, Image


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that a request means, as its row describes the file.

    Attributes:
        data_set_bytes: length of the data set; None for what came before lengths were recorded.
    """

    image_id: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    content_sha256: str
    data_set_bytes: int | None


Faults = Mapping[int, FailureReason | None]  # of the checked objects, by image id; None where there is none


def current_objects(session: Session, references: Sequence[ObjectReference]) -> list[StoredObject]:
    """Return the objects that are current under the references' SOP Instance UIDs, and whose files were not purged.

    A superseded one is not what its sender holds, as a rule; several are current if senders gave one UID to several
    studies.
    """
    return [StoredObject(*row) for row in session.execute(_current(references))]


def promise(
    session: Session, work: CommitmentWork, faults: Faults, *, until: datetime, now: datetime
) -> tuple[CommitmentReport, str]:
    """Decide on every reference and keep what is committed, in the transaction that records the outcome.

    Args:
        session: of the caller's transaction.
        work: the request.
        faults: what the check of the files found; an object that came or changed since then was not checked.
        until: how long files are kept whatever the retention; never shortens an earlier promise. Superseded objects
            of a committed UID are kept, too: a sender that went back to one was answered as for a duplicate.
        now: present time.

    Returns:
        What to tell the caller, and the outcome as it was recorded.
    """
    references = work.request.references
    lock_studies(session, [stored.image_id for stored in current_objects(session, references)])
    locked = session.execute(_current(references).with_for_update(of=Image))  # a purge comes before or after, whole
    failed = _failed(references, [StoredObject(*row) for row in locked], faults)
    committed = tuple(reference for reference in references if reference not in failed)
    _keep(session, committed, until)
    outcome = json.dumps([[r.sop_class_uid, r.sop_instance_uid, int(reason)] for r, reason in failed.items()])
    if outcome != work.answered:
        session.execute(update(Commitment).where(Commitment.id == work.commitment_id).values(answer=outcome))
        record_per_study(session, "commitment-checked", work.request, now, failed)
    return CommitmentReport(work.request.transaction_uid, committed, failed), outcome


def _current(references: Sequence[ObjectReference]) -> Select[Any]:
    columns: tuple[Any, ...] = (
        *(Image.id, Image.sop_class_uid, Image.sop_instance_uid),
        *(Image.transfer_syntax_uid, Image.content_sha256, Image.data_set_bytes),
    )
    conditions = (
        Image.sop_instance_uid.in_({reference.sop_instance_uid for reference in references}),
        Image.state != ImageState.SUPERSEDED,
        Image.purged_at.is_(None),
    )
    return select(*columns).where(*conditions).order_by(Image.id)


def _failed(
    references: Sequence[ObjectReference], stored: Sequence[StoredObject], faults: Faults
) -> dict[ObjectReference, FailureReason]:
    current: dict[str, list[StoredObject]] = {}
    for one in stored:
        current.setdefault(one.sop_instance_uid, []).append(one)
    reasons = ((ref, _reason(ref, current.get(ref.sop_instance_uid, []), faults)) for ref in references)
    return {reference: reason for reference, reason in reasons if reason is not None}


def _reason(reference: ObjectReference, stored: Sequence[StoredObject], faults: Faults) -> FailureReason | None:
    if not stored:
        return FailureReason.NO_SUCH_OBJECT_INSTANCE
    if any(one.sop_class_uid != reference.sop_class_uid for one in stored):
        return FailureReason.CLASS_INSTANCE_CONFLICT
    found = (faults.get(one.image_id, FailureReason.PROCESSING_FAILURE) for one in stored)
    return next((fault for fault in found if fault is not None), None)


def _keep(session: Session, committed: Sequence[ObjectReference], until: datetime) -> None:
    kept = update(Image).where(
        Image.sop_instance_uid.in_({reference.sop_instance_uid for reference in committed}),
        Image.purged_at.is_(None),
        or_(Image.committed_until.is_(None), Image.committed_until < until),
    )
    session.execute(kept.values(committed_until=until), execution_options={"synchronize_session": False})
