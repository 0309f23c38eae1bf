"""The outbox: what is to be sent where, and what was answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session, aliased

from worker.domain import DeliveryState, Flag, ScreeningResult
from worker.repository.audit import record
from worker.repository.claims import LONGEST_ERROR, ClaimPolicy, claim, is_running
from worker.repository.corrections import newest_header
from worker.tables import Delivery, Image, Result, Study

_CLAIMING_DELIVERIES = 0x637872  # any number that nobody else uses in this database


@dataclass(frozen=True, slots=True)
class DeliveryWork:
    """A result to send to one destination."""

    delivery_id: int
    destination: str
    study_instance_uid: str | None
    result: ScreeningResult


def claim_delivery(session: Session, *, now: datetime, policy: ClaimPolicy) -> DeliveryWork | None:
    """Take the most urgent delivery of a destination to which nothing else is being sent.

    One at a time per destination lets one that never answers hold up one sender only. The results of a study go out in
    the order they were said: what waits for a retry is overtaken by a more urgent successor only.
    """
    _claim_alone(session)
    other, earlier, said, saying = aliased(Delivery), aliased(Delivery), aliased(Result), aliased(Result)
    busy = exists().where(
        other.destination == Delivery.destination,
        other.state == DeliveryState.PENDING,
        is_running(other.lease_until, now, policy.lease),
    )
    overtaking = exists().where(
        earlier.destination == Delivery.destination,
        earlier.state == DeliveryState.PENDING,
        earlier.id < Delivery.id,
        earlier.urgency >= Delivery.urgency,
        earlier.result_id == said.id,
        said.study_id == saying.study_id,
        saying.id == Delivery.result_id,
    )
    ids = claim(session, Delivery, ~busy, ~overtaking, limit=1, now=now, policy=policy)
    if not ids:
        return None
    delivery = session.get_one(Delivery, ids[0])
    result = _result(session, delivery)
    return DeliveryWork(delivery.id, delivery.destination, result.flag.study_instance_uid, result)


def finish_delivery(session: Session, work: DeliveryWork, answer: str, now: datetime) -> None:
    """Record that the destination took the result, and what it answered."""
    _close(session, work.delivery_id, DeliveryState.DELIVERED, answer=answer, delivered_at=now)
    _record(session, "delivered", work, now, answer)


def refuse_delivery(session: Session, work: DeliveryWork, error: str, now: datetime) -> None:
    """Make a dead letter of what the destination will never take."""
    _close(session, work.delivery_id, DeliveryState.DEAD, last_error=error[:LONGEST_ERROR])
    _record(session, "delivery-dead", work, now, error)


def bury_exhausted_deliveries(session: Session, delivery_ids: Sequence[int], now: datetime) -> None:
    """Make dead letters of deliveries whose attempts are used up, unless one arrived at the last moment."""
    for delivery_id in delivery_ids:
        if not _close(session, delivery_id, DeliveryState.DEAD):
            continue
        named = select(Delivery.destination, Delivery.last_error, Result.result_uid, Study.study_instance_uid)
        whole = named.select_from(Delivery).join(Result).join(Study)
        row = session.execute(whole.where(Delivery.id == delivery_id)).one()
        detail = {"destination": row.destination, "result_uid": row.result_uid, "answer": row.last_error}
        record(session, "delivery-dead", now, row.study_instance_uid, **detail)


def retry_dead_deliveries(session: Session) -> int:
    """Put every dead letter back into the outbox with fresh attempts; returns how many."""
    dead = update(Delivery).where(Delivery.state == DeliveryState.DEAD)
    values = {"state": DeliveryState.PENDING, "attempts": 0, "not_before": None, "lease_until": None}
    return len(session.scalars(dead.values(values).returning(Delivery.id)).all())


def _claim_alone(session: Session) -> None:
    # Two claimers at once would each not see the other's lease and serve one destination; SQLite begins IMMEDIATE.
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_CLAIMING_DELIVERIES)))


def _result(session: Session, delivery: Delivery) -> ScreeningResult:
    """Load what is sent, with the patient and study as they are known now."""
    said = session.get_one(Result, delivery.result_id)
    study = session.get_one(Study, said.study_id)
    flag = Flag.model_validate_json(said.flag)
    if study.corrections:
        flag = flag.model_copy(update={"accession_number": study.accession_number})
    delivery.corrections = study.corrections
    predecessor = _predecessor(session, delivery, said)
    return ScreeningResult(
        flag=flag,
        headers=_headers(session, study.id, flag),
        newest_header=newest_header(session, study.id),
        corrections=study.corrections,
        predecessor_result_uid=predecessor[0] if predecessor else None,
        predecessor_corrections=predecessor[1] if predecessor else 0,
    )


def _headers(session: Session, study_id: int, flag: Flag) -> tuple[bytes, ...]:
    statement = select(Image.content_sha256, Image.header).where(Image.study_id == study_id)
    headers = {sha256: header for sha256, header in session.execute(statement) if header is not None}
    named = dict.fromkeys(image.content_sha256 for image in flag.images)
    return tuple(headers[sha256] for sha256 in named if sha256 in headers)


def _predecessor(session: Session, delivery: Delivery, result: Result) -> tuple[str, int] | None:
    statement = (
        select(Result.result_uid, Delivery.corrections)
        .join(Delivery)
        .where(
            Result.study_id == result.study_id,
            Result.id < result.id,
            Delivery.destination == delivery.destination,
            Delivery.state == DeliveryState.DELIVERED,
        )
        .order_by(Result.id.desc())
        .limit(1)
    )
    row = session.execute(statement).one_or_none()
    return None if row is None else (row.result_uid, row.corrections)


def _close(session: Session, delivery_id: int, state: DeliveryState, **values: object) -> bool:
    pending = update(Delivery).where(Delivery.id == delivery_id, Delivery.state == DeliveryState.PENDING)
    closed = pending.values(state=state, lease_until=None, **values).returning(Delivery.id)
    return session.scalar(closed) is not None


def _record(session: Session, kind: str, work: DeliveryWork, now: datetime, answer: str) -> None:
    detail = {"destination": work.destination, "result_uid": work.result.flag.result_uid, "answer": answer}
    record(session, kind, now, work.study_instance_uid, **detail)
