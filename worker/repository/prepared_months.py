"""Prepared images by month on PostgreSQL: each month has a table, made ahead and dropped whole when it is old.

A month's table has the primary key of the whole, which PostgreSQL could enforce over all months only with the time in
it. So a film that is prepared again in another month stands in both, with the same pixels. What was there before the
first month lies in one table, and what belongs to a month that nobody made in another: their rows go one by one. SQLite
keeps one table.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import MetaData, Table, exists, func, select, text
from sqlalchemy.orm import Session

from worker.tables import PreparedImage

MONTHS_AHEAD = 3
_WHOLE = PreparedImage.metadata.tables[PreparedImage.__tablename__]
_DEFAULT = "prepared_images_default"  # of the months without a table
_NAME = re.compile(r"prepared_images_(before_)?(\d{4})_(\d{2})")
_MAKING = 0x6379  # any number that nobody else uses in this database
_PARTS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'prepared_images'::regclass ORDER BY 1"
_GRANTS = (
    "SELECT privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END FROM pg_class, "
    "aclexplode(relacl) WHERE pg_class.oid = 'prepared_images'::regclass AND grantee <> relowner"
)


@dataclass(frozen=True, slots=True)
class Part:
    """One of the tables.

    Attributes:
        name: of the table.
        end: of the times in it, exclusive.
        is_month: whether it holds one month, and so may be dropped when that is old.
    """

    name: str
    end: datetime
    is_month: bool

    @property
    def table(self) -> Table:
        """It, with the columns of the whole."""
        return _named(self.name)


def parts(session: Session) -> list[Part]:
    """Return the tables that hold times of their own; none on SQLite."""
    if not _is_partitioned(session):
        return []
    names = (_NAME.fullmatch(name) for name in session.scalars(text(_PARTS)))
    return [_part(name) for name in names if name is not None]


def tables_of_rows(session: Session, before: datetime) -> list[Table]:
    """Return the tables out of which rows go one by one: those of no month, and months that end before `before`.

    Such a month is still there if it could not be dropped.
    """
    if not _is_partitioned(session):
        return [_WHOLE]
    loose = [part.table for part in parts(session) if not part.is_month or part.end <= before]
    return [*loose, _named(_DEFAULT)]


def make_months(session: Session, now: datetime) -> list[str]:
    """Make the tables of this month and the next ones that are missing; returns their names.

    A month of which something was prepared while it had no table stays without one.

    Raises:
        ProgrammingError: if the database's user may not make tables.
        OperationalError: if others held the tables for longer than `take_alone` waits.
        IntegrityError: if something of such a month was prepared at this moment.
    """
    if not _is_partitioned(session):
        return []
    take_alone(session)
    there = parts(session)
    names, before = {part.name for part in there}, [part.end for part in there if not part.is_month]
    wanted = [_month(now, later) for later in range(MONTHS_AHEAD + 1)]
    missing = [start for start in wanted if _name(start) not in names and all(start >= end for end in before)]
    return [_make(session, start) for start in missing if not _has_strays(session, start)]


def take_alone(session: Session) -> None:
    """Let nobody else make or drop a table until the transaction ends, and wait for their readers for seconds only.

    Whoever comes after a waiting change of the tables waits, too.
    """
    session.execute(text("SET LOCAL lock_timeout = '5s'"))
    session.execute(select(func.pg_advisory_xact_lock(_MAKING, 0)))


def has_strays(session: Session, now: datetime) -> bool:
    """Tell whether something was prepared in this month before anybody had made a table for it."""
    return _is_partitioned(session) and _has_strays(session, _month(now, 0))


def _is_partitioned(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def _named(name: str) -> Table:
    return _WHOLE.to_metadata(MetaData(), name=name)


def _part(name: re.Match[str]) -> Part:
    before, year, month = name.groups()
    start = datetime(int(year), int(month), 1, tzinfo=UTC)
    return Part(name.string, start if before else _month(start, 1), is_month=before is None)


def _month(time: datetime, later: int) -> datetime:
    utc = time.astimezone(UTC)
    years, month = divmod(utc.month - 1 + later, 12)
    return datetime(utc.year + years, month + 1, 1, tzinfo=UTC)


def _name(start: datetime) -> str:
    return f"prepared_images_{start:%Y_%m}"


def _has_strays(session: Session, start: datetime) -> bool:
    default = _named(_DEFAULT)
    of_month = default.c.created_at >= start, default.c.created_at < _month(start, 1)
    return bool(session.scalar(select(exists().select_from(default).where(*of_month))))


def _make(session: Session, start: datetime) -> str:
    name = _name(start)
    key = ", ".join(column.name for column in _WHOLE.primary_key)
    session.execute(text(f"CREATE TABLE {name} (LIKE prepared_images, PRIMARY KEY ({key}))"))
    bounds = f"FROM ('{start.isoformat()}') TO ('{_month(start, 1).isoformat()}')"
    session.execute(text(f"ALTER TABLE prepared_images ATTACH PARTITION {name} FOR VALUES {bounds}"))
    for privilege, grantee in session.execute(text(_GRANTS)).all():  # who owns no tables deletes row by row, in each
        session.execute(text(f"GRANT {privilege} ON {name} TO {grantee}"))
    return name
