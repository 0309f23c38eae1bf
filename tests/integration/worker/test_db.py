"""The engine: durable, with readers that hold up no writer, and clear about URLs."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from tests.studies import NOW
from worker.db import Database
from worker.errors import ConfigurationError
from worker.keepalive import IDLE_SECONDS, UNANSWERED_MILLISECONDS
from worker.schema import migrate
from worker.tables import Event


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    """The embedded default."""
    database = Database(f"sqlite:///{tmp_path / 'test.sqlite'}")
    migrate(database)
    yield database
    database.dispose()


def test_sqlite_keeps_what_is_committed(sqlite: Database) -> None:
    """WAL, synchronous FULL, foreign keys and incremental vacuum on every connection."""
    with sqlite.read() as session:
        pragmas = {
            name: session.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys", "auto_vacuum")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "auto_vacuum": 2}


def test_sqlite_readers_and_a_writer_do_not_wait_for_each_other(sqlite: Database) -> None:
    """The worklist is read while a transaction writes, and sees what was committed before."""
    with sqlite.begin() as writer:
        writer.add(Event(at=NOW, kind="test", detail={}))
        writer.flush()
        with sqlite.read() as reader:
            assert reader.query(Event).count() == 0
    with sqlite.read() as reader:
        assert reader.query(Event).count() == 1


def test_a_sqlite_writer_that_looks_first_is_not_thrown_out(sqlite: Database) -> None:
    """A second writer waits from its beginning; else the first one's write would fail at once, on a stale view."""

    def write() -> None:
        with sqlite.begin() as session:
            session.add(Event(at=NOW, kind="test", detail={}))

    with ThreadPoolExecutor(1) as thread:
        with sqlite.begin() as session:
            assert session.query(Event).count() == 0
            other = thread.submit(write)
            wait([other], timeout=0.3)
            session.add(Event(at=NOW, kind="test", detail={}))
        other.result(timeout=20)
    with sqlite.read() as session:
        assert session.query(Event).count() == 2


def test_sqlite_writers_of_one_process_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait for each other and not for SQLite, which would let them sleep: it is told not to wait at all."""
    with monkeypatch.context() as impatient:
        impatient.setattr("worker.db.BUSY_TIMEOUT_SECONDS", 0.0)
        database = Database(f"sqlite:///{tmp_path / 'test.sqlite'}")
    migrate(database)

    def write(_: int) -> None:
        with database.begin() as session:
            session.add(Event(at=NOW, kind="test", detail={}))
            session.flush()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(64)))
    with database.read() as session:
        assert session.query(Event).count() == 64
    database.dispose()


@pytest.mark.parametrize("url", ["hunter2", "mysql://user:hunter2@host/db"])  # pragma: allowlist secret
def test_a_wrong_url_names_the_setting_and_hides_the_password(url: str) -> None:
    """The operator is told which key to mend."""
    with pytest.raises(ConfigurationError, match=r"\Adatabase_url: ") as caught:
        Database(url)
    assert "hunter2" not in str(caught.value)


def test_an_error_does_not_tell_what_was_to_be_written(database: Database) -> None:
    """Its text goes to the log, and a header holds a patient's name."""
    event = {"at": NOW, "kind": "test", "detail": "{}", "study": "Doe^Jane"}
    insert = text(
        "INSERT INTO events (at, kind, detail, study_instance_uid, nothing) VALUES (:at, :kind, :detail, :study, 1)"
    )
    with pytest.raises(DatabaseError) as told, database.begin() as session:
        session.execute(insert, event)
    assert "Doe" not in str(told.value)


def test_postgresql_lets_go_of_a_host_that_was_cut_off(postgres_url: str) -> None:
    """Either end asks after some seconds without a word; else it would keep its locks, or wait, for hours."""
    database = Database(postgres_url)
    for _ in range(2):  # also on a connection that comes back from the pool
        with database.read() as session:
            assert session.scalar(text("SHOW tcp_user_timeout")) == str(UNANSWERED_MILLISECONDS)
            assert session.scalar(text("SHOW tcp_keepalives_idle")) == str(IDLE_SECONDS)
            pgconn = session.connection().connection.dbapi_connection.pgconn  # type: ignore[union-attr]
            own = {option.keyword: option.val for option in pgconn.info}
            assert own[b"tcp_user_timeout"] == str(UNANSWERED_MILLISECONDS).encode()
            assert own[b"keepalives_idle"] == str(IDLE_SECONDS).encode()
            session.rollback()
    database.dispose()
