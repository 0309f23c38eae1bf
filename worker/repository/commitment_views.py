"""How storage commitment requests stand, for people and programs."""

import json
from datetime import datetime

from pydantic import BaseModel, ConfigDict
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from worker.domain import DeliveryState
from worker.tables import Commitment


class CommitmentView(BaseModel):
    """A request, and what came of it.

    Attributes:
        references: how many objects it names.
        failed: how many of them are not committed; null while nothing was checked.
        failures: Failure Reason (PS3.3 C.14.1.1) by SOP Instance UID of those.
    """

    model_config = ConfigDict(frozen=True)

    calling_ae_title: str
    transaction_uid: str
    state: str
    references: int
    failed: int | None
    failures: dict[str, str]
    attempts: int
    last_error: str | None
    traceback: str | None
    not_before: datetime | None
    created_at: datetime
    answered_at: datetime | None


def commitments(session: Session, *, limit: int) -> list[CommitmentView]:
    """Return the requests that are not reported yet, the dead ones, and the `limit` latest of all; oldest first."""
    latest = select(Commitment.id).order_by(Commitment.id.desc()).limit(limit)
    wanted = or_(Commitment.state != DeliveryState.DELIVERED, Commitment.id.in_(latest))
    return [_view(row) for row in session.scalars(select(Commitment).where(wanted).order_by(Commitment.id))]


def _view(row: Commitment) -> CommitmentView:
    failures = {instance: f"0x{reason:04X}" for _, instance, reason in json.loads(row.answer or "[]")}
    return CommitmentView(
        calling_ae_title=row.calling_ae_title,
        transaction_uid=row.transaction_uid,
        state=row.state,
        references=len(row.references),
        failed=None if row.answer is None else len(failures),
        failures=failures,
        attempts=row.attempts,
        last_error=row.last_error,
        traceback=row.traceback,
        not_before=row.not_before,
        created_at=row.created_at,
        answered_at=row.answered_at,
    )
