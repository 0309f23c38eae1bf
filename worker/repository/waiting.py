"""Studies that nobody has read for too long."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, exists, func, or_, select
from sqlalchemy.orm import Session

from worker.domain import Stage
from worker.tables import Result, Study


def signals(session: Session) -> tuple[datetime, datetime] | None:
    """Return when the first and the last study were read of which we were told; None if we never were."""
    first, last = (select(edge(Study.read_at)).where(Study.read_at.is_not(None)) for edge in (func.min, func.max))
    begin, end = session.scalar(first), session.scalar(last)
    return None if begin is None or end is None else (begin, end)


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
