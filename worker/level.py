"""The range of schema levels that this version works on; without Alembic, which takes long to import.

A version knows no level later than its own. So each migration states the oldest level whose version still works on the
schema that it leaves, and the database keeps that (`schema_support`), while a version names the oldest schema that it
works on itself. How migrations are to be written so that both ranges are wide: .github/CONTRIBUTING.md.
"""

from dataclasses import dataclass
from importlib.metadata import version

from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Connection, String, inspect, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Mapped, mapped_column

from worker.db import Database
from worker.errors import ConfigurationError
from worker.table_base import Base

LEVEL = "0008"  # the last of worker/migrations/versions
OLDEST_LEVEL = "0008"  # the first whose schema has everything that this version's statements name


class SchemaSupport(Base):
    """The one row that the last migration has left: the oldest level that works on it, and the version that ran it."""

    __tablename__ = "schema_support"

    oldest_level: Mapped[str] = mapped_column(String(32), primary_key=True)
    version: Mapped[str] = mapped_column(String(64))


@dataclass(frozen=True, slots=True)
class Standing:
    """What a database says of itself; `oldest_level` and `version` as in `SchemaSupport`, empty before level 0006."""

    level: str
    oldest_level: str = ""
    version: str = ""


def require_level(database: Database) -> None:
    """Refuse to work on a schema outside the range.

    Raises:
        ConfigurationError: if the database is older than this version can work on, or too new for it, or does not let
            its role read even that.
    """
    try:
        with database.read() as session:
            standing = read_standing(session.connection())
    except ProgrammingError as error:
        if isinstance(error.orig, InsufficientPrivilege):
            raise ConfigurationError(forbidden(error.orig)) from error
        raise
    require_standing(standing)


def forbidden(refusal: InsufficientPrivilege) -> str:
    """Say in one line what PostgreSQL does not let the role of `database_url` do."""
    cause = str(refusal).splitlines()[0]
    return f"database: {cause}: the role of database_url must own the tables, or be granted all rights on them"


def require_standing(standing: Standing | None) -> None:
    """Refuse what `read_standing` returned if it is outside the range.

    Raises:
        ConfigurationError: as `require_level`.
    """
    if standing is None or standing.level < OLDEST_LEVEL:
        raise ConfigurationError(
            f"database schema is at level {standing.level if standing else 'none'}, this version works on "
            f"{OLDEST_LEVEL} to {LEVEL}: run `cxr-triage migrate`"
        )
    if standing.level > LEVEL and not "" < standing.oldest_level <= LEVEL:
        raise ConfigurationError(
            f"this version (level {LEVEL}) is too old for the database, which version {standing.version or 'unknown'} "
            f"has brought to level {standing.level}, for level {standing.oldest_level or 'unknown'} and later: install "
            "that version or a newer one"
        )


def is_ours_alone(database: Database) -> bool:
    """Return whether no other host can be working on the database: it is an SQLite file, or has no table yet."""
    if database.engine.dialect.name == "sqlite":
        return True
    with database.read() as session:
        return read_standing(session.connection()) is None


def read_standing(connection: Connection) -> Standing | None:
    """Return what the database says of itself; None if it has no schema yet."""
    tables = inspect(connection)
    if not tables.has_table("alembic_version"):
        return None
    level: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if level is None:
        return None
    row = None
    if tables.has_table("schema_support"):
        row = connection.execute(text("SELECT oldest_level, version FROM schema_support")).one_or_none()
    return Standing(level) if row is None else Standing(level, row.oldest_level, row.version)


def state_support(connection: Connection, oldest_level: str) -> None:
    """Keep what a migration declares, in its transaction; by names alone, as the table may be of another level."""
    connection.execute(text("DELETE FROM schema_support"))
    connection.execute(
        text("INSERT INTO schema_support (oldest_level, version) VALUES (:oldest_level, :version)"),
        {"oldest_level": oldest_level, "version": version("cxr-triage")},
    )
