"""The way from one level of the database schema to the next (Alembic)."""

import time
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from worker.db import Database
from worker.errors import ConfigurationError
from worker.level import LEVEL, read_standing, require_standing

MIGRATIONS = Path(__file__).parent / "migrations"
# Whoever waits for a table's lock lets everybody wait who comes after: so long may live work stand still at a go.
LOCK_SECONDS = 2.0
PAUSE_SECONDS = 3.0  # between two goes, in which live work goes on
GOES = 24  # two minutes
_MIGRATION = 0x637872  # key of the advisory lock: one migration at a time

_log = structlog.get_logger()


def migrate(database: Database) -> None:
    """Bring the schema to the level of this version; does nothing if it is there, or later and still supported.

    Several may do so at once. Live work that holds a lock which the migration needs is waited for `GOES` times.

    Raises:
        ConfigurationError: if the schema is too new for this version, or the locks could not be had.
        OperationalError: if the database cannot be reached or written.
    """
    for go in range(GOES):
        if go:
            _log.warning("migration-waits", pause_seconds=PAUSE_SECONDS)
            time.sleep(PAUSE_SECONDS)
        try:
            with database.engine.begin() as connection:
                _lock(connection)
                _upgrade(connection)
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable | DeadlockDetected):
                raise
        else:
            return
    raise ConfigurationError(
        "database: others kept the locks that the migration needs (a back-up, a long report, another `cxr-triage "
        "migrate`); nothing was changed: run `cxr-triage migrate` again when they have ended"
    )


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":  # on SQLite, whoever writes is alone
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS * 1000:g}ms'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION})


def _upgrade(connection: Connection) -> None:
    standing = read_standing(connection)
    if standing is not None and standing.level > LEVEL:  # which Alembic cannot know
        require_standing(standing)
        return
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
