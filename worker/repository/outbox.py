"""The outbox: what is to be sent where, and what was answered."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, case, exists, select, update
from sqlalchemy.orm import Session, aliased

from worker.dispatch import KnownForm
from worker.domain import CommitmentState, DeliveryState, ScreeningResult
from worker.faults import Fault
from worker.receipt import Receipt
from worker.repository.audit import record
from worker.repository.claims import (
    LONGEST_ERROR,
    ClaimPolicy,
    claim,
    claim_alone,
    close,
    is_running,
    is_work,
    note_death,
    release,
)
from worker.repository.forms import known_form, learn_form
from worker.repository.outages import end_outage, note_outage, paused_destinations
from worker.repository.outgoing import outgoing_result
from worker.tables import Delivery, Result, Study


@dataclass(frozen=True, slots=True)
class DeliveryWork:
    """A result to send to one destination; `transaction_uid` is that of the storage commitment to ask for.

    `attempt` is how often it was claimed by now.
    """

    delivery_id: int
    destination: str
    study_instance_uid: str | None
    result: ScreeningResult
    known_form: KnownForm | None = None
    transaction_uid: str | None = None
    attempt: int = 1


def claim_delivery(
    session: Session, *, now: datetime, policy: ClaimPolicy, committing: Collection[str] = ()
) -> DeliveryWork | None:
    """Take the most urgent delivery of a destination to which nothing else is being sent and that is not paused.

    One at a time per destination lets one that never answers hold up one sender only. The results of a study go out in
    the order they were said: what waits for a retry is overtaken by a more urgent successor only.

    Args:
        session: of a transaction of its own.
        now: present time.
        policy: of deliveries.
        committing: destinations that are asked for storage commitment. The Transaction UID is committed to the
            database before it is sent: a peer may report before it has answered.
    """
    claim_alone(session, Delivery)
    earlier, said, saying = aliased(Delivery), aliased(Result), aliased(Result)
    leased = Delivery.state == DeliveryState.PENDING, is_running(Delivery.lease_until, now, policy.lease)
    busy = session.scalars(select(Delivery.destination).where(*leased).distinct()).all()
    closed = {*busy, *paused_destinations(session, now=now, policy=policy)}
    overtaking = exists().where(
        earlier.destination == Delivery.destination,
        earlier.state == DeliveryState.PENDING,
        earlier.id < Delivery.id,
        earlier.urgency >= Delivery.urgency,
        earlier.result_id == said.id,
        said.study_id == saying.study_id,
        saying.id == Delivery.result_id,
    )
    is_open = Delivery.destination.not_in(closed)
    ids = claim(session, Delivery, is_open, ~overtaking, limit=1, now=now, policy=policy)
    if not ids:
        return None
    delivery = session.get_one(Delivery, ids[0])
    result, name = outgoing_result(session, delivery), delivery.destination
    delivery.transaction_uid = f"2.25.{uuid.uuid4().int}" if name in committing else None
    delivery.commitment = None
    return DeliveryWork(
        delivery_id=delivery.id,
        destination=name,
        study_instance_uid=result.flag.study_instance_uid,
        result=result,
        known_form=known_form(session, name),
        transaction_uid=delivery.transaction_uid,
        attempt=delivery.attempts,
    )


def finish_delivery(session: Session, work: DeliveryWork, receipt: Receipt, now: datetime) -> None:
    """Record that the destination took the result, and what it answered."""
    if end_outage(session, work.destination):
        held_back = update(Delivery).where(Delivery.destination == work.destination, is_work(Delivery))
        session.execute(held_back.values(not_before=None))  # so that its results come in order of urgency
    close(
        session,
        Delivery,
        work.delivery_id,
        DeliveryState.DELIVERED,
        answer=receipt.answer,
        form=receipt.form,
        delivered_at=now,
        transaction_uid=receipt.transaction_uid,
        commitment=_commitment(receipt),
    )
    _record(session, "delivered", work, now, receipt.answer)
    learn_form(session, work.destination, receipt, work.result.flag, now)


def _commitment(receipt: Receipt) -> ColumnElement[str | None] | None:
    """Return what stands of the storage commitment once an object is delivered; the report may have come before."""
    if receipt.transaction_uid is None:
        return None
    reported = (Delivery.transaction_uid == receipt.transaction_uid) & Delivery.commitment.is_not(None)
    return case((reported, Delivery.commitment), else_=CommitmentState.ASKED.value)


def refuse_delivery(session: Session, work: DeliveryWork, error: str, now: datetime) -> None:
    """Make a dead letter of what the destination will never take."""
    close(session, Delivery, work.delivery_id, DeliveryState.DEAD, last_error=error[:LONGEST_ERROR])
    _record(session, "delivery-dead", work, now, error)


def retry_delivery(
    session: Session,
    work: DeliveryWork,
    fault: Fault,
    *,
    now: datetime,
    policy: ClaimPolicy,
    down: bool = False,
    counted: bool = True,
) -> None:
    """Give a delivery back that may succeed later; in the audit trail once per error, not per attempt.

    Args:
        session: of the caller's transaction.
        work: the delivery.
        fault: what went wrong.
        now: present time.
        policy: of deliveries.
        down: whether the destination takes nothing at present, so that nothing else is tried for a while, either.
        counted: False if the fault is not the delivery's.
    """
    # The destination before its deliveries, as `finish_delivery` takes them: else the two may wait for each other.
    paused_until = note_outage(session, work.destination, now=now, policy=policy) if down else None
    before = session.get_one(Delivery, work.delivery_id).last_error
    row_id, trace = work.delivery_id, fault.traceback or None
    if not release(session, Delivery, row_id, fault.error, now=now, policy=policy, counted=counted, traceback=trace):
        return
    row = session.get_one(Delivery, row_id)
    if paused_until is not None:  # twice the pause: another one is tried first, in case that this one is the cause
        row.not_before = paused_until + (paused_until - now)
    if row.last_error != before:
        _record(session, "delivery-retry", work, now, fault.error)


def bury_exhausted_deliveries(session: Session, delivery_ids: Sequence[int], now: datetime) -> None:
    """Make dead letters of deliveries whose attempts are used up, unless one arrived at the last moment."""
    for delivery_id in delivery_ids:
        note_death(session.get_one(Delivery, delivery_id))
        if not close(session, Delivery, delivery_id, DeliveryState.DEAD):
            continue
        row = session.execute(_named().where(Delivery.id == delivery_id)).one()
        detail = {"destination": row.destination, "result_uid": row.result_uid, "answer": row.last_error}
        record(session, "delivery-dead", now, row.study_instance_uid, **detail)


def retry_dead_deliveries(
    session: Session,
    now: datetime,
    *,
    by: str,
    destination: str | None = None,
    study_instance_uid: str | None = None,
) -> int:
    """Put dead letters back into the outbox with fresh attempts, in the audit trail of their studies.

    One that was overtaken stays dead: the destination has a later result of the study, and what came after that one
    would be taken for the newest word, be it a flag that a reader has withdrawn.

    Args:
        session: of the caller's transaction.
        now: present time.
        by: who asked for it.
        destination: its dead letters only; None for all.
        study_instance_uid: of this study only; None for all.

    Returns:
        How many.
    """
    of_destination = () if destination is None else (Delivery.destination == destination,)
    of_study = () if study_instance_uid is None else (Delivery.result_id.in_(_results_of(study_instance_uid)),)
    which = (Delivery.state == DeliveryState.DEAD, ~is_overtaken(), *of_destination, *of_study)
    afresh = {"attempts": 0, "commitment_failures": 0, "not_before": None, "lease_until": None}
    values = {"state": DeliveryState.PENDING, **afresh}
    named = session.execute(_named().where(*which).order_by(Delivery.id)).all()
    put_back = set(session.scalars(update(Delivery).where(*which).values(**values).returning(Delivery.id)))
    for row in named:
        if row.id in put_back:
            detail = {"destination": row.destination, "result_uid": row.result_uid, "by": by}
            record(session, "delivery-put-back", now, row.study_instance_uid, **detail)
    return len(put_back)


def _results_of(study_instance_uid: str) -> Select[int]:
    return select(Result.id).join(Study).where(Study.study_instance_uid == study_instance_uid)


def leave_overtaken(session: Session, work: DeliveryWork, now: datetime, *, every_result: bool) -> None:
    """Take earlier results of a study out of the outbox, now that their destination took a later one.

    What comes last would be taken for the newest word. One is still there as a more urgent one has overtaken it, or as
    it was put back while the later one was being sent, since the peer had not committed to store it.

    Args:
        session: of the transaction that records the delivery.
        work: the delivery of the later result.
        now: present time.
        every_result: whether the destination wants those that it has never had all the same.
    """
    later = session.get_one(Delivery, work.delivery_id)
    study_id = session.get_one(Result, later.result_id).study_id
    earlier = select(Result.id).where(Result.study_id == study_id, Result.id < later.result_id)
    waiting = Delivery.destination == later.destination, Delivery.result_id.in_(earlier), is_work(Delivery)
    had, unsynchronized = Delivery.commitment_failures > 0, {"synchronize_session": False}
    stays = {"state": DeliveryState.DELIVERED, "commitment": CommitmentState.FAILED, "lease_until": None}
    session.execute(update(Delivery).where(*waiting, had).values(**stays), execution_options=unsynchronized)
    if every_result:
        return
    left_out = update(Delivery).where(*waiting).values(state=DeliveryState.OVERTAKEN, lease_until=None)
    ids = session.scalars(left_out.returning(Delivery.id), execution_options=unsynchronized).all()
    for row in session.execute(_named().where(Delivery.id.in_(ids)).order_by(Delivery.id)):
        detail = {"destination": row.destination, "result_uid": row.result_uid}
        record(session, "delivery-overtaken", now, row.study_instance_uid, **detail)


def is_overtaken() -> ColumnElement[bool]:
    """Return the condition of a delivery whose destination has a later result of the same study."""
    later, said, saying = aliased(Delivery), aliased(Result), aliased(Result)
    return exists().where(
        later.destination == Delivery.destination,
        later.state == DeliveryState.DELIVERED,
        later.result_id == said.id,
        said.study_id == saying.study_id,
        said.id > saying.id,
        saying.id == Delivery.result_id,
    )


def _named() -> Select[Any]:
    columns: tuple[Any, ...] = (Delivery.id, Delivery.destination, Delivery.last_error, Result.result_uid)
    return select(*columns, Study.study_instance_uid).select_from(Delivery).join(Result).join(Study)


def _record(session: Session, kind: str, work: DeliveryWork, now: datetime, answer: str) -> None:
    detail = {"destination": work.destination, "result_uid": work.result.flag.result_uid, "answer": answer}
    record(session, kind, now, work.study_instance_uid, **detail)
