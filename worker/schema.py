"""The level of the database schema, and the way from one to the next (Alembic)."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from worker.db import Database
from worker.errors import ConfigurationError

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(database: Database) -> None:
    """Bring the schema to the level of this version; does nothing if it is there."""
    with database.engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def require_current(database: Database) -> None:
    """Refuse to work on a schema of another version.

    Raises:
        ConfigurationError: if the level differs from this version's.
    """
    with database.read() as session:
        connection = session.connection()
        level = MigrationContext.configure(connection).get_current_revision()
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if level != head:
        raise ConfigurationError(
            f"database schema is at level {level or 'none'}, this version needs {head}: run `cxr-triage migrate`"
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
