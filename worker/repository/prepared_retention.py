"""Which prepared images may be forgotten: old ones that are scored, and that no work waits for."""

from datetime import datetime

from sqlalchemy import ColumnElement, FromClause, Table, and_, delete, exists, func, literal, not_, select, text, tuple_
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from worker.domain import WORKING_STATES, ImageState
from worker.repository.prepared_months import Part, parts, tables_of_rows, take_alone
from worker.tables import Image, PreparedImage, Score

_COLUMNS = ("content_sha256", "frame", "input_spec_sha256", "pixels", "created_at")
_UNSYNCHRONISED = {"synchronize_session": False}


def delete_prepared(session: Session, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` of the prepared images that go one by one; returns how many."""
    for table in tables_of_rows(session, before):
        deleted = _delete_from(session, table, before, limit)
        if deleted:
            return deleted
    return 0


def old_prepared(session: Session, *, before: datetime) -> int:
    """Return how many prepared images may be deleted."""
    return sum(_count(session, table, _may_be_forgotten(table, before)) for table in tables_of_rows(session, before))


def old_months(session: Session, *, before: datetime) -> list[Part]:
    """Return the months that are over since `before`; none on SQLite."""
    return [part for part in parts(session) if part.is_month and part.end <= before]


def drop_month(session: Session, month: Part, *, now: datetime) -> int:
    """Drop a month of prepared images; returns how many are gone.

    What must stay moves to the present month, and so stays for as long once more.

    Raises:
        ProgrammingError: if the database's user does not own the table, or another purge was faster.
        OperationalError: if others held it for longer than `take_alone` waits.
    """
    take_alone(session)
    old = month.table
    columns = [literal(now) if name == "created_at" else old.c[name] for name in _COLUMNS]
    kept = select(*columns).where(not_(_may_be_forgotten(old, month.end)))
    moved = postgresql.insert(PreparedImage).from_select(_COLUMNS, kept).on_conflict_do_nothing()
    count = _count(session, old)
    stay = session.scalars(moved.returning(PreparedImage.frame), execution_options=_UNSYNCHRONISED).all()
    session.execute(text(f"DROP TABLE {month.name}"))
    return count - len(stay)


def _delete_from(session: Session, table: Table, before: datetime, limit: int) -> int:
    names = [column.name for column in PreparedImage.__table__.primary_key]
    rows = select(*(table.c[name] for name in names)).where(_may_be_forgotten(table, before)).limit(limit)
    keys = [tuple(row) for row in session.execute(rows)]
    if keys:
        session.execute(delete(table).where(tuple_(*(table.c[name] for name in names)).in_(keys)))
    return len(keys)


def _count(session: Session, table: FromClause, *conditions: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0


def _may_be_forgotten(prepared: FromClause, before: datetime) -> ColumnElement[bool]:
    of_content = Image.content_sha256 == prepared.c.content_sha256
    needed = exists().where(of_content, Image.state.in_((*WORKING_STATES, ImageState.FAILED)))
    frame = (of_content, Score.image_id == Image.id, Score.frame == prepared.c.frame)
    scored = exists().where(*frame, Score.logit.is_not(None))
    waiting = exists().where(*frame, Score.scored_at.is_(None))
    return and_(prepared.c.created_at <= before, scored, ~waiting, ~needed)
