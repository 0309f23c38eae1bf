"""Studies that nobody has read for too long, and whether anybody still tells us what is read."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import and_, exists, func, or_, select
from sqlalchemy.orm import Session

from worker.domain import Stage
from worker.tables import Result, Study

UNHEARD_AFTER = timedelta(hours=1)
UNHEARD_STUDIES = 5  # that came since; fewer say nothing
_DAY, _WEEK = timedelta(days=1), timedelta(days=7)


def signals(session: Session) -> tuple[datetime, datetime] | None:
    """Return when the first and the last study were read of which we were told; None if we never were."""
    first, last = (select(edge(Study.read_at)).where(Study.read_at.is_not(None)) for edge in (func.min, func.max))
    begin, end = session.scalar(first), session.scalar(last)
    return None if begin is None or end is None else (begin, end)


def unheard_since(session: Session, now: datetime, escalate_after_minutes: float | None) -> datetime | None:
    """Return since when nobody tells us what is read although somebody should, as where a RIS's interface is broken.

    Somebody should who told us something in the same hour of the same weekday, in one of the two weeks before the
    silence: `UNHEARD_STUDIES` may come and wait at night and at weekends, when nobody reads. In the first week in which
    we are told anything it is the day before the silence that counts.

    Args:
        session: to read with.
        now: present time.
        escalate_after_minutes: the setting; without it nothing hangs on what was read, and this is None.
    """
    heard = None if escalate_after_minutes is None else signals(session)
    if heard is None or now - heard[1] < UNHEARD_AFTER:
        return None
    came = select(Study.id).where(Study.received_at > heard[1], ~Study.synthetic).limit(UNHEARD_STUDIES)
    if len(session.scalars(came).all()) < UNHEARD_STUDIES:
        return None
    usual = (_told_in_the_hour(session, until) for until in _same_hours(*heard, now))
    return heard[1] if any(usual) else None


def _same_hours(first: datetime, last: datetime, now: datetime) -> tuple[datetime, ...]:
    """Return the ends of the hours before the last signal that are like the present one."""
    day, week = (now - -(-(now - last) // period) * period for period in (_DAY, _WEEK))
    return (week, week - _WEEK) if first <= week - UNHEARD_AFTER else (day,)


def _told_in_the_hour(session: Session, until: datetime) -> bool:
    told = exists().where(Study.read_at > until - UNHEARD_AFTER, Study.read_at <= until)
    return bool(session.scalar(select(told)))


def forgotten_studies(session: Session, *, since: datetime, until: datetime, limit: int) -> Sequence[int]:
    """Return unread studies without a priority that wait since a time in (since, until], the longest waiting first.

    A study waits since its first image came, or since the first one that came after it was read.
    """
    waits = or_(
        and_(Study.reopened_at.is_(None), Study.received_at > since, Study.received_at <= until),
        and_(Study.reopened_at.is_not(None), Study.reopened_at > since, Study.reopened_at <= until),
    )
    said = exists().where(Result.study_id == Study.id, Result.revision == Study.revision, Result.stage == Stage.WAITING)
    unread = (Study.read_at.is_(None), Study.priority.is_(None), ~Study.synthetic, ~said)
    oldest_first = func.coalesce(Study.reopened_at, Study.received_at)
    statement = select(Study.id).where(waits, *unread).order_by(oldest_first, Study.id).limit(limit)
    return session.scalars(statement).all()
