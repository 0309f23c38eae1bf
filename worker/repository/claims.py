"""Claiming work: by urgency, then age, with a lease that a dead worker cannot keep.

PostgreSQL lets workers pass each other's claims (`FOR UPDATE SKIP LOCKED`); on SQLite the claiming transaction has
begun IMMEDIATE, so that two claims follow each other and the row lock is not needed (and not rendered).
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, String, and_, case, cast, exists, func, literal, null, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from worker.domain import DeliveryState, ImageState
from worker.rescreen_tables import RescreenChunk, RescreenPreparation
from worker.table_base import Claimable
from worker.tables import Commitment, Delivery, Image, Score

LONGEST_ERROR = 2000  # characters kept of an error's text
_CLAIMING = 0x6378  # any number that nobody else uses in this database
_DIED = "the worker died, or outlived its lease, in attempt "


@dataclass(frozen=True, slots=True)
class ClaimPolicy:
    """How work is claimed and tried again.

    Attributes:
        lease: how long a claim holds.
        max_attempts: claims on one row before it is given up.
        retry: full first delay before another attempt; it doubles up to `retry_max`.
        chance: draws a number in [0, 1], so that what failed together is not tried again together.
    """

    lease: timedelta
    max_attempts: int
    retry: timedelta
    retry_max: timedelta
    chance: Callable[[], float] = random.random

    def delay(self, attempts: int) -> timedelta:
        """Return a drawn delay after the given number of attempts, at least 1."""
        return backed_off(attempts, self.retry, self.retry_max, self.chance())


def backed_off(attempts: int, retry: timedelta, retry_max: timedelta, chance: float) -> timedelta:
    """Return the exponential back-off with equal jitter: half of the full delay, and a drawn part of the other half.

    Args:
        attempts: so far, at least 1.
        retry: the full delay after the first one; it doubles with each.
        retry_max: bound of every delay, on which `is_running` relies.
        chance: in [0, 1]; 1 gives the full delay.

    Source: Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015.
    """
    full = min(retry * int(2 ** min(attempts - 1, 30)), retry_max)
    return full / 2 + full / 2 * chance


def is_work(table: type[Claimable]) -> ColumnElement[bool]:
    """Return the condition of a row on which something is still to be done, as its partial index states it."""
    if table is Image:
        return Image.state == ImageState.RECEIVED
    if table is Score:
        return Score.scored_at.is_(None)
    if table is RescreenChunk:
        return RescreenChunk.closed_at.is_(None)
    if table is RescreenPreparation:
        return RescreenPreparation.done_at.is_(None)
    if table is Commitment:
        return Commitment.state == DeliveryState.PENDING
    return Delivery.state == DeliveryState.PENDING


def is_free(table: type[Claimable], now: datetime, policy: ClaimPolicy) -> ColumnElement[bool]:
    """Return the condition of a row that nobody holds and that is due.

    A lease or a delay that ends far later than any given now could end was written before the clock was set back: it
    counts as over. Far means twice as long, because `now` may be older than the lease it meets: on SQLite a claimer
    reads the clock, then waits for the lock that another claimer holds.
    """
    return and_(~is_running(table.lease_until, now, policy.lease), ~is_running(table.not_before, now, policy.retry_max))


def is_running(until: InstrumentedAttribute[datetime | None], now: datetime, length: timedelta) -> ColumnElement[bool]:
    """Return the condition that a lease or delay of the given length holds at `now`; see `is_free` for its bound."""
    return and_(until.is_not(None), until > now, until <= now + 2 * length)


def claim(
    session: Session,
    table: type[Claimable],
    *conditions: ColumnElement[bool],
    limit: int,
    now: datetime,
    policy: ClaimPolicy,
) -> Sequence[int]:
    """Take up to `limit` free rows that meet the conditions; returns their ids, in no order.

    Rows that used up their attempts are not taken; `exhausted` finds them. A row whose lease ran out says so.
    """
    candidates = (
        select(table.id)
        .where(is_work(table), is_free(table, now, policy), table.attempts < policy.max_attempts, *conditions)
        .order_by(table.urgency.desc(), table.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("candidates")
    )
    taken = (
        update(table)
        .where(table.id.in_(select(candidates.c.id)))
        .values(attempts=table.attempts + 1, lease_until=now + policy.lease, **_trace_of_the_last(table))
        .returning(table.id)
    )
    return session.scalars(taken, execution_options={"synchronize_session": False}).all()


def claim_alone(session: Session, table: type[Claimable]) -> None:
    """Let nobody else claim rows of this table until the transaction ends.

    Two claimers at once would not see each other's lease, where a row may only be taken while no other one is. SQLite
    begins IMMEDIATE.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_CLAIMING, func.hashtext(table.__name__))))


def close(
    session: Session, table: type[Delivery | Commitment], row_id: int, state: DeliveryState, **values: object
) -> bool:
    """End the work on a row; returns False if somebody else already did."""
    pending = update(table).where(table.id == row_id, is_work(table))
    closed = pending.values(state=state, lease_until=None, **values).returning(table.id)
    return session.scalar(closed) is not None


def release(
    session: Session,
    table: type[Claimable],
    row_id: int,
    error: str,
    *,
    now: datetime,
    policy: ClaimPolicy,
    counted: bool = True,
    traceback: str | None = None,
) -> bool:
    """Give a claimed row back after a transient failure, due again after a delay.

    Args:
        session: of the caller's transaction.
        table: of the row.
        row_id: the claimed row.
        error: for the operator; cut to `LONGEST_ERROR` characters.
        now: present time.
        policy: of the table.
        counted: False if the fault is not the row's, so that the attempt is not held against it.
        traceback: places in the code, as `worker.faults` tells them; None where there is nothing to tell.

    Returns:
        False if there is nothing left to do on it: somebody else was faster.
    """
    mine = select(table).where(table.id == row_id, is_work(table)).with_for_update()
    row = session.scalars(mine, execution_options={"populate_existing": True}).one_or_none()
    if row is None:
        return False
    row.lease_until = None
    row.not_before = now + policy.delay(row.attempts)
    row.last_error, row.traceback = error[:LONGEST_ERROR], traceback
    if not counted:
        row.attempts -= 1
    return True


def died_in(attempt: int) -> str:
    """Return what is kept of an attempt whose worker never gave the row back."""
    return f"{_DIED}{attempt}"


def note_death(row: Claimable) -> None:
    """Say on an exhausted row that its last attempt ended without a word, if it did."""
    if row.lease_until is not None:
        row.last_error, row.traceback, row.lease_until = died_in(row.attempts), None, None


def _trace_of_the_last(table: type[Claimable]) -> dict[str, ColumnElement[str | None]]:
    died = table.lease_until.is_not(None)
    said = literal(_DIED, String) + cast(table.attempts, String)
    return {
        "last_error": case((died, said), else_=table.last_error),
        "traceback": case((died, null()), else_=table.traceback),
    }


def extend_lease(session: Session, table: type[Claimable], row_id: int, *, now: datetime, policy: ClaimPolicy) -> None:
    """Hold a claimed row for another lease from now on, in the middle of long work."""
    session.execute(update(table).where(table.id == row_id, is_work(table)).values(lease_until=now + policy.lease))


def exhausted(
    session: Session, table: type[Claimable], *, now: datetime, policy: ClaimPolicy, limit: int | None = None
) -> Sequence[int]:
    """Return up to `limit` ids of rows whose attempts are used up and that nobody holds; none can be waited for."""
    held = is_running(table.lease_until, now, policy.lease)
    rows = select(table.id).where(is_work(table), ~held, table.attempts >= policy.max_attempts)
    return session.scalars(rows.limit(limit)).all()


def has_standing_work(session: Session, table: type[Claimable], *, now: datetime, policy: ClaimPolicy) -> bool:
    """Tell whether a row is free and due, which a wake-up should have seen to."""
    return bool(session.scalar(select(exists().where(is_work(table), is_free(table, now, policy)))))
