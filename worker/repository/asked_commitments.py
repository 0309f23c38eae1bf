"""What became of the storage commitments that we asked for with our deliveries."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from dicom_io.commitment_outcome import CommitmentOutcome
from dicom_io.report import ReportForm, derive_uid
from worker.domain import CommitmentState, DeliveryState
from worker.repository.audit import record
from worker.repository.claims import ClaimPolicy
from worker.repository.outbox import is_overtaken
from worker.tables import Delivery, Result, Study

MOST_FAILURES = 3  # of one delivery; then it is a dead letter, which a person sees


def record_outcome(
    session: Session, outcome: CommitmentOutcome, destinations: Collection[str], *, now: datetime, policy: ClaimPolicy
) -> bool:
    """Record what a peer reports; a report that comes again changes nothing.

    The delivery need not be closed: a peer may report before we have recorded that it took the object.

    Args:
        session: of a transaction of its own.
        outcome: the report.
        destinations: names of those that the peer is.
        now: present time.
        policy: of deliveries.

    Returns:
        False if none of these destinations was asked under this transaction, or if it was asked about another object.
    """
    asked = Delivery.transaction_uid == outcome.transaction_uid, Delivery.destination.in_(destinations)
    row = session.scalars(select(Delivery).where(*asked).with_for_update()).one_or_none()
    if row is None:
        return False
    ours = _names(session, row)
    failures = {reason for reference, reason in outcome.failed.items() if reference.sop_instance_uid in ours}
    if not failures and not any(reference.sop_instance_uid in ours for reference in outcome.committed):
        return False
    if row.commitment in {CommitmentState.COMMITTED, CommitmentState.FAILED}:
        return True
    if not failures:
        row.commitment = CommitmentState.COMMITTED
        _record(session, "delivery-committed", row, now)
        return True
    row.commitment, row.commitment_failures = CommitmentState.FAILED, row.commitment_failures + 1
    reasons = ", ".join(sorted(f"0x{reason:04X}" for reason in failures))
    row.last_error = f"the peer did not commit to store it, reason {reasons}"
    _record(session, "delivery-uncommitted", row, now)
    session.flush()
    send_again_if_uncommitted(session, row.id, now=now, policy=policy)
    return True


def send_again_if_uncommitted(session: Session, delivery_id: int, *, now: datetime, policy: ClaimPolicy) -> None:
    """Put a delivery that the peer took and then did not commit to back into the outbox, or make it a dead letter.

    Its attempts go on counting. One that was overtaken stays delivered: sent again after a later result of its study,
    it would be taken for the newest word.
    """
    row = session.get_one(Delivery, delivery_id, with_for_update=True)
    if (row.state, row.commitment) != (DeliveryState.DELIVERED, CommitmentState.FAILED):
        return
    if session.scalar(select(exists().where(Delivery.id == row.id, is_overtaken()))):
        return
    if row.commitment_failures >= MOST_FAILURES:
        row.state = DeliveryState.DEAD
        _record(session, "delivery-dead", row, now)
        return
    row.state = DeliveryState.PENDING
    row.not_before = now + policy.delay(1 + 3 * row.commitment_failures)  # seconds, then minutes


def _names(session: Session, row: Delivery) -> set[str]:
    """Return the SOP Instance UIDs that the report of a delivery may have; each form has its own."""
    result_uid = session.get_one(Result, row.result_id).result_uid
    return {derive_uid(result_uid, form.kind, row.corrections) for form in ReportForm}


def _record(session: Session, kind: str, row: Delivery, now: datetime) -> None:
    said = session.get_one(Result, row.result_id)
    study = session.get_one(Study, said.study_id).study_instance_uid
    answer = None if kind == "delivery-committed" else row.last_error
    record(session, kind, now, study, destination=row.destination, result_uid=said.result_uid, answer=answer)
