"""The tables as the migrations make them, on both kinds of database."""

from datetime import UTC, timedelta, timezone
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Inspector, inspect, text
from sqlalchemy.exc import DatabaseError, IntegrityError

from tests.studies import NOW, STUDY, flags, incoming, receive, result, rolled_back, say
from worker.db import Database
from worker.level import require_level
from worker.repository.model_versions import RegisteredModel
from worker.schema import migrate
from worker.table_base import Base
from worker.tables import Event, ModelVersion

TABLES = {
    "studies",
    "images",
    "prepared_images",
    "scores",
    "results",
    "deliveries",
    "model_versions",
    "events",
    "commitments",
    "destination_outages",
    "destination_forms",
    "rejected_instances",
    "reconciliations",
    "rescreens",
    "rescreen_chunks",
    "rescreen_preparations",
    "rescreen_scores",
    "users",
    "web_sessions",
    "reader_verdicts",
    "schema_support",
}


def describe(inspector: Inspector, schema: str | None) -> dict[str, Any]:
    """Everything that the database knows of the tables, in a form that can be compared."""

    def named(entries: list[Any]) -> list[str]:
        return sorted(
            f"{e['name']} {e['column_names']} {e['unique']} {[str(o) for o in e.get('dialect_options', {}).values()]}"
            for e in entries
        )

    def columns(table: str) -> list[str]:
        return sorted(f"{c['name']} {c['type']} {c['nullable']}" for c in inspector.get_columns(table, schema))

    def keys(table: str) -> list[str]:
        return sorted(
            f"{key['constrained_columns']} {key['referred_table']} {key['referred_columns']}"
            for key in inspector.get_foreign_keys(table, schema)
        )

    return {
        table: (
            columns(table),
            keys(table),
            table == "prepared_images" or inspector.get_pk_constraint(table, schema)["constrained_columns"],
            sorted(str(unique["column_names"]) for unique in inspector.get_unique_constraints(table, schema)),
            named(inspector.get_indexes(table, schema)),
        )
        for table in inspector.get_table_names(schema)
        if table != "alembic_version" and not is_month(table)
    }


def is_month(table: str) -> bool:
    """Whether it is a part of the prepared images."""
    return table.startswith("prepared_images_")


def create_from_metadata(connection: Connection) -> str | None:
    """Make the tables as the code declares them, beside the migrated ones or in their place; returns their schema."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("CREATE SCHEMA declared"))
        Base.metadata.create_all(connection.execution_options(schema_translate_map={None: "declared"}))
        return "declared"
    Base.metadata.drop_all(connection)
    Base.metadata.create_all(connection)
    return None


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
def test_migrating_an_empty_database_gives_the_declared_tables(empty_database: Database) -> None:
    """Columns, types, keys, unique constraints and partial indexes are those of `worker.tables`, no more, no less.

    The key of the prepared images stands on each month's table, which `test_prepared_months` looks at.
    """
    migrate(empty_database)
    with empty_database.engine.begin() as connection:
        migrated = describe(inspect(connection), None)
        schema = create_from_metadata(connection)
        declared = describe(inspect(connection), schema)
    assert set(migrated) == TABLES
    assert migrated == declared


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
def test_alembic_finds_nothing_to_add(database: Database) -> None:
    """Nobody changed the tables and forgot the migration; indexes on expressions, which it misreads, aside."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = [str(difference) for difference in compare_metadata(context, Base.metadata)]
    assert [text for text in differences if "_work'" not in text and "prepared_images_" not in text] == []


def work_indexes(connection: Connection) -> list[str]:
    """The definitions of the indexes that claims go through, as the database itself prints them."""
    source = (
        "SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'ix_%_work' ORDER BY indexname"
        if connection.dialect.name == "postgresql"
        else "SELECT sql FROM sqlite_master WHERE type = 'index' AND name LIKE 'ix_%_work' ORDER BY name"
    )
    return [row[0] for row in connection.execute(text(source))]


def test_claims_go_through_partial_indexes_in_the_order_of_the_work(database: Database) -> None:
    """The indexes on expressions, which inspection skips: most urgent first, and only what is still to be done."""
    with database.engine.connect() as connection:
        definitions = work_indexes(connection)
    conditions = ("pending", "pending", "received", "closed_at IS NULL", "done_at IS NULL", "scored_at IS NULL")
    for definition, condition in zip(definitions, conditions, strict=True):
        assert "urgency DESC, id" in definition
        assert condition in definition.partition("WHERE")[2]


@pytest.mark.parametrize("change", ["UPDATE results SET flag = ''", "DELETE FROM results"])
def test_what_was_said_cannot_be_changed(database: Database, champion: RegisteredModel, change: str) -> None:
    """A result is taken back by a later one that supersedes it, never by a change of its row."""
    receive(database, incoming())
    say(database, champion, result())
    with pytest.raises(DatabaseError, match="append-only"), database.begin() as session:
        session.execute(text(change))
    assert [flag["study_instance_uid"] for flag in flags(database)] == [STUDY]


@pytest.mark.parametrize("change", ["UPDATE events SET kind = 'other'", "DELETE FROM events"])
def test_the_audit_trail_cannot_be_changed(database: Database, change: str) -> None:
    """Not by a slip in our code, nor by hand, unless somebody takes the trigger away first."""
    with database.begin() as session:
        session.add(Event(at=NOW, kind="test", detail={}))
    with pytest.raises(DatabaseError, match="append-only"), database.begin() as session:
        session.execute(text(change))
    with database.read() as session:
        assert session.query(Event.kind).all() == [("test",)]


def test_migrating_twice_changes_nothing(database: Database) -> None:
    """Every start of `serve` migrates; rows stay."""
    with database.begin() as session:
        session.add(Event(at=NOW, kind="test", detail={}))
    migrate(database)
    require_level(database)
    with database.read() as session:
        assert session.query(Event).count() == 1


def test_at_most_one_model_is_the_champion(database: Database) -> None:
    """The database itself refuses a second one, and lets any number of former ones be."""

    def model(number: int, *, champion: bool) -> ModelVersion:
        return ModelVersion(
            sha256=str(number) * 64, name="m", version=str(number), location="x", champion=champion, registered_at=NOW
        )

    with database.begin() as session:
        session.add_all([model(1, champion=False), model(2, champion=False), model(3, champion=True)])
    with pytest.raises(IntegrityError), database.begin() as session:
        session.add(model(4, champion=True))


def test_times_come_back_aware_and_equal(database: Database) -> None:
    """A time with another zone's offset is the same instant, in UTC, on a database that knows no zones too."""
    vienna = NOW.astimezone(timezone(timedelta(hours=1)))
    with database.begin() as session:
        session.add(Event(at=vienna, kind="test", detail={}))
    with database.read() as session:
        read = session.query(Event).one().at
    assert (read, read.tzinfo) == (NOW, UTC)


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    """An exception inside the block undoes what the block wrote."""
    with rolled_back(database) as session:
        session.add(Event(at=NOW, kind="test", detail={}))
    with database.read() as session:
        assert session.query(Event).count() == 0


def test_finished_work_is_vacuumed_whatever_the_size_of_the_archive(months: Database) -> None:
    """After so many rows, and not after a part of the table; in small parts the indexes would be left out."""
    with months.read() as session:
        options = text("SELECT reloptions FROM pg_class WHERE oid = CAST(:table AS regclass)")
        set_by_us = [
            session.scalar(options, {"table": table}) for table in ("studies", "images", "scores", "deliveries")
        ]
    for one in set_by_us:
        assert {"autovacuum_vacuum_scale_factor=0", "vacuum_index_cleanup=on"} < set(one)
