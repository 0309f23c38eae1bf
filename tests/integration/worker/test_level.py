"""The range of levels, as databases keep it, and migrating where others work or migrate at the same time."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version

import pytest
from alembic import command
from sqlalchemy import inspect, text
from structlog.testing import capture_logs

from tests.servers.ports import wait_until
from worker import schema
from worker.db import Database
from worker.errors import ConfigurationError
from worker.level import LEVEL, OLDEST_LEVEL, SchemaSupport, Standing, read_standing, require_level, state_support
from worker.schema import _config, migrate
from worker.table_base import Base

LATER = "9999"
BEFORE = "0005"  # the last level of which the database said nothing
VERSION = version("cxr-triage")


def standing(database: Database) -> Standing | None:
    """What the database says of itself."""
    with database.read() as session:
        return read_standing(session.connection())


def upgrade_to(database: Database, level: str) -> None:
    """Migrate no further than a level."""
    with database.engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, level)


def become_later(database: Database, oldest_level: str) -> None:
    """Leave the database as a version of a later level would."""
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :level"), {"level": LATER})
        state_support(connection, oldest_level)


def test_a_migrated_database_says_who_may_work_on_it(empty_database: Database) -> None:
    """What the last migration declares, and by which version it was run; the empty one is refused."""
    with pytest.raises(ConfigurationError, match=r"at level none.*cxr-triage migrate"):
        require_level(empty_database)
    migrate(empty_database)
    now = standing(empty_database)
    assert now is not None
    assert now.level == LEVEL
    assert "" < now.oldest_level <= LEVEL
    assert now.version == VERSION
    require_level(empty_database)


def test_the_oldest_level_has_every_table_and_column_that_the_code_names(empty_database: Database) -> None:
    """A column that is added to a table is named by every statement on it: such a migration raises `OLDEST_LEVEL`."""
    upgrade_to(empty_database, OLDEST_LEVEL)
    require_level(empty_database)
    with empty_database.engine.connect() as connection:
        tables = inspect(connection)
        for name, table in Base.metadata.tables.items():
            if name != SchemaSupport.__tablename__:  # read only where it is
                there = {column["name"] for column in tables.get_columns(name)}
                assert {column.name for column in table.columns} <= there, name


def test_a_later_database_is_left_alone_as_long_as_it_takes_this_version(empty_database: Database) -> None:
    """An old worker that restarts after the migration works on, and an old `migrate` or `serve` changes nothing."""
    migrate(empty_database)
    become_later(empty_database, LEVEL)
    require_level(empty_database)
    migrate(empty_database)
    assert standing(empty_database) == Standing(LATER, LEVEL, VERSION)
    become_later(empty_database, LATER)
    for refusing in (require_level, migrate):
        with pytest.raises(ConfigurationError, match=f"which version {VERSION} has brought to level {LATER}"):
            refusing(empty_database)


@pytest.fixture
def production(postgres_url: str) -> Iterator[Database]:
    """A database of the level before, on PostgreSQL, where several may write at once."""
    database = Database(postgres_url)
    upgrade_to(database, BEFORE)
    yield database
    database.dispose()


def test_several_hosts_may_migrate_at_once(production: Database) -> None:
    """One does it, the others find it done; none fails."""
    with ThreadPoolExecutor(4) as hosts:
        list(hosts.map(migrate, [production] * 4))
    require_level(production)
    with production.read() as session:
        assert session.scalar(text("SELECT count(*) FROM schema_support")) == 1


@contextmanager
def held(database: Database, statement: str) -> Iterator[None]:
    """A transaction that holds what a statement locks until the block ends."""
    with database.engine.connect() as connection:
        connection.execute(text(statement))
        yield


def is_waiting(database: Database) -> bool:
    """Whether a statement of somebody waits for a lock."""
    with database.read() as session:
        return bool(session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


def test_a_migration_waits_for_a_lock_in_short_goes_and_goes_on_when_it_is_free(
    production: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two goes others get the lock that it asked for; what it had begun is undone each time."""
    monkeypatch.setattr(schema, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(schema, "LOCK_SECONDS", 1)
    with ThreadPoolExecutor(1) as host, capture_logs() as log:
        with held(production, "LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE"):
            migrating = host.submit(migrate, production)
            wait_until(lambda: is_waiting(production), "the migration waits")
            wait_until(lambda: bool(log), "the end of its first go")
            assert not migrating.done()
        migrating.result(60)
    assert {entry["event"] for entry in log} == {"migration-waits"}
    require_level(production)


def test_a_migration_that_gets_no_lock_gives_up_with_one_line(
    production: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The schema is as it was, and the line says whom to wait for; so does another migration that hangs."""
    monkeypatch.setattr(schema, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(schema, "LOCK_SECONDS", 0.1)
    monkeypatch.setattr(schema, "GOES", 2)
    for statement in ("LOCK TABLE alembic_version", f"SELECT pg_advisory_xact_lock({schema._MIGRATION})"):
        with (
            held(production, statement),
            pytest.raises(ConfigurationError, match="nothing was changed: run") as refused,
        ):
            migrate(production)
        assert "\n" not in str(refused.value)
    assert standing(production) == Standing(BEFORE)
