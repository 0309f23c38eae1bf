"""The level of the database schema that this version works on; without Alembic, which takes long to import."""

from sqlalchemy import inspect, text

from worker.db import Database
from worker.errors import ConfigurationError

LEVEL = "0005"  # the last of worker/migrations/versions


def require_current(database: Database) -> None:
    """Refuse to work on a schema of another version.

    Raises:
        ConfigurationError: if the level differs from this version's.
    """
    level = _level(database)
    if level != LEVEL:
        raise ConfigurationError(
            f"database schema is at level {level or 'none'}, this version needs {LEVEL}: run `cxr-triage migrate`"
        )


def _level(database: Database) -> str | None:
    with database.read() as session:
        if not inspect(session.connection()).has_table("alembic_version"):
            return None
        level: str | None = session.scalar(text("SELECT version_num FROM alembic_version"))
        return level
