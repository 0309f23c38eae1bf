"""Storage commitment requests: taken, worked on, and answered until the peer acknowledges it."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session, aliased

from dicom_io.commitment import CommitmentRequest, ObjectReference
from worker.domain import DeliveryState, Urgency
from worker.repository.audit import record
from worker.repository.claims import ClaimPolicy, claim, claim_alone, close, is_running
from worker.repository.intake import insert_if_absent
from worker.tables import Commitment, Image, Study


@dataclass(frozen=True, slots=True)
class CommitmentWork:
    """A request to answer; `answered` is the outcome that was recorded last, as JSON."""

    commitment_id: int
    request: CommitmentRequest
    answered: str | None


def record_request(session: Session, request: CommitmentRequest, now: datetime) -> bool:
    """Record a request, once per caller and transaction; one that comes again is answered again.

    Returns:
        Whether it was taken; False if the caller used the Transaction UID for other objects before.
    """
    references = sorted([reference.sop_class_uid, reference.sop_instance_uid] for reference in request.references)
    key = {"calling_ae_title": request.calling_ae_title, "transaction_uid": request.transaction_uid}
    statement = insert_if_absent(session, Commitment).values(
        **key, references=references, state=DeliveryState.PENDING, urgency=Urgency.MEDIUM, created_at=now
    )
    if session.scalar(statement.returning(Commitment.id)) is None:
        row = session.scalars(select(Commitment).filter_by(**key).with_for_update()).one()
        if row.references != references:
            return False
        row.state, row.attempts, row.not_before = DeliveryState.PENDING, 0, None
    record_per_study(session, "commitment-requested", request, now)
    return True


def claim_commitment(session: Session, *, now: datetime, policy: ClaimPolicy) -> CommitmentWork | None:
    """Take the oldest request that is due, unless another one is being worked on.

    One at a time, whatever the number of workers: they share their queue with films, which must not wait until a
    modality's whole day has been read, or for a peer that never answers.
    """
    claim_alone(session, Commitment)
    other = aliased(Commitment)
    busy = exists().where(other.state == DeliveryState.PENDING, is_running(other.lease_until, now, policy.lease))
    ids = claim(session, Commitment, ~busy, limit=1, now=now, policy=policy)
    if not ids:
        return None
    row = session.get_one(Commitment, ids[0])
    return CommitmentWork(row.id, _request(row), row.answer)


def put_off_caller(session: Session, work: CommitmentWork) -> None:
    """Let everything that waits for a caller wait as long as the request that did not reach it.

    So a caller that is away costs one attempt at a time, whatever the number of its requests.
    """
    tried = session.get_one(Commitment, work.commitment_id)
    waiting = update(Commitment).where(
        Commitment.calling_ae_title == tried.calling_ae_title,
        Commitment.state == DeliveryState.PENDING,
        Commitment.id != tried.id,
    )
    session.execute(waiting.values(not_before=tried.not_before, last_error=tried.last_error))


def finish_commitment(session: Session, work: CommitmentWork, answer: str, now: datetime) -> None:
    """Record that the caller acknowledged the report with this outcome."""
    if close(session, Commitment, work.commitment_id, DeliveryState.DELIVERED, answered_at=now):
        record_per_study(session, "commitment-reported", work.request, now, failed_of(answer))


def bury_exhausted_commitments(session: Session, commitment_ids: Sequence[int], now: datetime) -> None:
    """Make dead letters of requests whose attempts are used up, unless one was acknowledged at the last moment."""
    for commitment_id in commitment_ids:
        if close(session, Commitment, commitment_id, DeliveryState.DEAD):
            row = session.get_one(Commitment, commitment_id)
            record_per_study(session, "commitment-dead", _request(row), now, failed_of(row.answer))


def retry_dead_commitments(session: Session) -> int:
    """Put every dead request back with fresh attempts; returns how many."""
    dead = update(Commitment).where(Commitment.state == DeliveryState.DEAD)
    values = {"state": DeliveryState.PENDING, "attempts": 0, "not_before": None, "lease_until": None}
    return len(session.scalars(dead.values(values).returning(Commitment.id)).all())


def failed_of(answer: str | None) -> list[ObjectReference]:
    """Return the objects that a recorded outcome does not commit."""
    return [ObjectReference(sop_class, instance) for sop_class, instance, _ in json.loads(answer or "[]")]


def record_per_study(
    session: Session,
    kind: str,
    request: CommitmentRequest,
    now: datetime,
    failed: Collection[ObjectReference] | None = None,
) -> None:
    """Append an event to the timeline of each study concerned, with its own counts; what is unknown has none."""
    detail = {"transaction_uid": request.transaction_uid, "calling_ae_title": request.calling_ae_title}
    for study, references in _by_study(session, request.references):
        counts: dict[str, float] = {"references": len(references)}
        if failed is not None:
            counts["failed"] = len(references.intersection(failed))
        record(session, kind, now, study, **detail, **counts)


def _by_study(
    session: Session, references: Sequence[ObjectReference]
) -> Iterator[tuple[str | None, set[ObjectReference]]]:
    instances = {reference.sop_instance_uid for reference in references}
    statement = select(Image.sop_instance_uid, Study.study_instance_uid).join(Study)
    found = session.execute(statement.where(Image.sop_instance_uid.in_(instances)))
    studies: dict[str, str] = {instance: study for instance, study in found}  # noqa: C416 - dict() cannot type rows
    for study in sorted({studies.get(instance) for instance in instances}, key=str):
        yield study, {reference for reference in references if studies.get(reference.sop_instance_uid) == study}


def _request(row: Commitment) -> CommitmentRequest:
    references = tuple(ObjectReference(*reference) for reference in row.references)
    return CommitmentRequest(row.calling_ae_title, row.transaction_uid, references)
