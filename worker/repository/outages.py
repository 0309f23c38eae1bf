"""Destinations that take nothing at present: one attempt per pause, not one for each result that waits.

One failure pauses nothing, as it may be that result's; the second one in a row is taken for the destination's.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from worker.repository.claims import ClaimPolicy, backed_off, is_running
from worker.repository.intake import insert_if_absent
from worker.tables import DestinationOutage

LONGEST_PAUSE = timedelta(seconds=30)  # so long may a flag wait after its destination has come back


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


def end_outage(session: Session, destination: str) -> None:
    """Note that a destination has answered."""
    session.execute(delete(DestinationOutage).where(DestinationOutage.destination == destination))


def _longest(policy: ClaimPolicy) -> timedelta:
    return min(LONGEST_PAUSE, policy.retry_max)
