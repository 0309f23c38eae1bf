"""PostgreSQL behind PgBouncer, which lends a server for a transaction; and a database that does not answer."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionError

from tests.servers.pgbouncer import pgbouncer
from tests.servers.ports import wait_until
from worker.bootstrap import build_service
from worker.db import Database, after_commit
from worker.errors import ConfigurationError
from worker.level import require_level
from worker.schema import migrate
from worker.settings import Settings

SERVERS = 2  # that the pooler has for all clients
THREADS = 4
STATEMENTS = 20  # more than psycopg sees before it prepares one
PATIENCE_SECONDS = 3.0  # more than a busy machine takes to answer
WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")

SLOW_COMMIT = text("""
    CREATE TABLE slow (id integer);
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION wait();
""")


@contextmanager
def opened(url: str, answer_seconds: float | None = None) -> Iterator[Database]:
    """A database, closed when the block ends."""
    database = Database(url, answer_seconds=answer_seconds)
    yield database
    database.dispose()


def ask_often(database: Database) -> int:
    """Ask in transaction after transaction; returns how often an answer was right."""
    asked = text("SELECT :number + count(*) FROM studies")
    right = 0
    for number in range(STATEMENTS):
        with database.begin() as session:
            right += session.scalar(asked, {"number": number}) == number
    return right


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_every_transaction_may_be_another_server_s(mode: str, postgres_url: str) -> None:
    """Nothing is prepared that the next server would not know, and migrations take their locks in one transaction."""
    servers = SERVERS if mode == "transaction" else THREADS
    with pgbouncer(postgres_url, mode, default_pool_size=servers) as url, opened(url) as database:
        migrate(database)
        require_level(database)
        with ThreadPoolExecutor(THREADS) as threads:
            asked = [threads.submit(ask_often, database) for _ in range(THREADS)]
        assert [each.result() for each in asked] == [STATEMENTS] * THREADS


def test_statements_are_prepared_where_no_pooler_stands_between(postgres_url: str) -> None:
    """Which saves PostgreSQL a plan for each: the pooler is told from the server by the process that answers."""
    with opened(postgres_url) as database, database.read() as session:
        connection = session.connection().connection.driver_connection
        assert connection is not None
        assert connection.prepare_threshold


def test_a_pooler_that_knows_no_transactions_is_one_line(postgres_url: str, tmp_path: Path) -> None:
    """It names the setting of the pooler; every process says it when it starts."""
    with pgbouncer(postgres_url, "statement") as url:
        settings = Settings(data_dir=tmp_path, database_url=url)
        with pytest.raises(ConfigurationError, match=r"\Adatabase_url: the pooler .* set pool_mode = transaction"):
            build_service(settings, lambda _queue: None)


def test_who_waits_too_long_for_an_answer_is_told_so_and_leaves_nothing_waiting(postgres_url: str) -> None:
    """The listener's sender is waiting, too; a statement that waits for a lock is cancelled, and the next one works."""
    with opened(postgres_url) as holder, opened(postgres_url, answer_seconds=PATIENCE_SECONDS) as impatient:
        migrate(holder)
        with holder.begin() as session:
            session.execute(text("LOCK TABLE studies"))
            with pytest.raises(OperationalError), impatient.begin() as other:
                other.execute(text("SELECT count(*) FROM studies"))
            wait_until(lambda: session.scalar(WAITING) == 0, "the end of the cancelled statement")
        assert ask_often(impatient) == STATEMENTS


def test_a_commit_that_is_not_answered_in_time_is_no_success(postgres_url: str) -> None:
    """The sender hears 0xA700, nothing that hangs on the commit is done, and the next transaction works."""
    told: list[str] = []
    with opened(postgres_url) as owner, opened(postgres_url, answer_seconds=PATIENCE_SECONDS) as impatient:
        migrate(owner)
        with owner.begin() as session:
            session.execute(SLOW_COMMIT)
        with pytest.raises(OperationalError):
            commit_slowly(impatient, told)
        assert told == []
        assert ask_often(impatient) == STATEMENTS
        with owner.read() as session:
            assert session.scalar(text("SELECT count(*) FROM slow")) == 0


def commit_slowly(database: Database, told: list[str]) -> None:
    """Commit a row, and tell once it is committed."""
    with database.begin() as session:
        session.execute(text("INSERT INTO slow VALUES (1)"))
        after_commit(session, lambda: told.append("committed"))


def test_who_waits_too_long_for_the_pooler_s_server_is_told_so(postgres_url: str) -> None:
    """A pooler keeps its clients waiting for two minutes, while PostgreSQL is away or all of its servers are lent."""
    with pgbouncer(postgres_url, "transaction", default_pool_size=1) as url, opened(url) as holder:
        with holder.begin() as session, opened(url, answer_seconds=PATIENCE_SECONDS) as impatient:
            session.execute(text("SELECT 1"))
            with pytest.raises(OperationalError), impatient.begin() as other:
                other.execute(text("SELECT 1"))
        with opened(url, answer_seconds=5) as later, later.begin() as session:
            assert session.scalar(text("SELECT 1")) == 1


def test_who_waits_too_long_for_a_free_connection_is_told_so(postgres_url: str) -> None:
    """While all that a process may have wait for a server that hangs, others wait for them no longer than that."""
    with opened(postgres_url, answer_seconds=PATIENCE_SECONDS) as database:
        most = database.engine.pool.size() + database.engine.pool._max_overflow  # type: ignore[attr-defined]
        held = [database.engine.connect() for _ in range(most)]
        with pytest.raises(NoConnectionError), database.begin() as session:
            session.connection()
        for connection in held:
            connection.close()
