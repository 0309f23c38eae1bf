"""The way from one level of the database schema to the next (Alembic)."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from worker.db import Database

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(database: Database) -> None:
    """Bring the schema to the level of this version; does nothing if it is there."""
    with database.engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
