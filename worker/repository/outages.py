"""Destinations that take nothing at present: one attempt per pause, not one for each result that waits.

One failure pauses nothing, as it may be that result's; the second one in a row is taken for the destination's.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from worker.destination_tables import DestinationForm, DestinationOutage
from worker.domain import DeliveryState
from worker.repository.claims import ClaimPolicy, backed_off, is_running
from worker.repository.intake import insert_if_absent
from worker.tables import Delivery

LONGEST_PAUSE = timedelta(seconds=30)  # so long may a flag wait after its destination has come back


class DestinationView(BaseModel):
    """How a destination stands; `failures_in_a_row` and `paused_until` are null unless it took nothing of late.

    `form` is the kind of DICOM object that a `dicom` destination takes; null before it took one.
    """

    model_config = ConfigDict(frozen=True, from_attributes=True)

    destination: str
    waiting: int
    waiting_since: datetime | None
    dead: int
    last_delivered_at: datetime | None
    form: str | None
    failures_in_a_row: int | None
    paused_until: datetime | None


def paused_destinations(session: Session, *, now: datetime, policy: ClaimPolicy) -> Sequence[str]:
    """Return the destinations to which nothing is sent now."""
    paused = is_running(DestinationOutage.paused_until, now, _longest(policy))
    return session.scalars(select(DestinationOutage.destination).where(paused)).all()


def note_outage(session: Session, destination: str, *, now: datetime, policy: ClaimPolicy) -> datetime | None:
    """Count a failure that is the destination's; returns until when it is paused, None after the first in a row."""
    absent = insert_if_absent(session, DestinationOutage)
    session.execute(absent.values(destination=destination, failures=0))
    row = session.get_one(DestinationOutage, destination, with_for_update=True)
    row.failures += 1
    if row.failures > 1:
        row.paused_until = now + backed_off(row.failures - 1, policy.retry, _longest(policy), policy.chance())
    return row.paused_until


def end_outage(session: Session, destination: str) -> bool:
    """Note that a destination took something; returns whether it was taken to be down."""
    ended = delete(DestinationOutage).where(DestinationOutage.destination == destination)
    failures = session.scalar(ended.returning(DestinationOutage.failures))
    return failures is not None and failures > 1


def destinations(session: Session) -> list[DestinationView]:
    """Return how each destination stands to which anything was ever to be sent, by name."""
    pending, dead = Delivery.state == DeliveryState.PENDING, Delivery.state == DeliveryState.DEAD
    statement = (
        select(
            Delivery.destination,
            func.count(Delivery.id).filter(pending).label("waiting"),
            func.min(Delivery.created_at).filter(pending).label("waiting_since"),
            func.count(Delivery.id).filter(dead).label("dead"),
            func.max(Delivery.delivered_at).label("last_delivered_at"),
            func.max(DestinationForm.form).label("form"),
            func.max(DestinationOutage.failures).label("failures_in_a_row"),
            func.max(DestinationOutage.paused_until).label("paused_until"),
        )
        .outerjoin(DestinationOutage, DestinationOutage.destination == Delivery.destination)
        .outerjoin(DestinationForm, DestinationForm.destination == Delivery.destination)
        .group_by(Delivery.destination)
        .order_by(Delivery.destination)
    )
    return [DestinationView.model_validate(row) for row in session.execute(statement)]


def _longest(policy: ClaimPolicy) -> timedelta:
    return min(LONGEST_PAUSE, policy.retry_max)
