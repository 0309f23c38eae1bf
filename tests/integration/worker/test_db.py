"""The engine: durable, with readers that hold up no writer, and clear about URLs."""

from pathlib import Path

import pytest
from sqlalchemy import text

from tests.studies import NOW
from worker.db import Database
from worker.errors import ConfigurationError
from worker.schema import migrate
from worker.tables import Event


@pytest.fixture
def sqlite(tmp_path: Path) -> Database:
    """The embedded default."""
    database = Database(f"sqlite:///{tmp_path / 'test.sqlite'}")
    migrate(database)
    return database


def test_sqlite_keeps_what_is_committed(sqlite: Database) -> None:
    """WAL, synchronous FULL, foreign keys and incremental vacuum on every connection."""
    with sqlite.read() as session:
        pragmas = {
            name: session.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys", "auto_vacuum")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "auto_vacuum": 2}


def test_sqlite_readers_and_a_writer_do_not_wait_for_each_other(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worklist is read while a transaction writes, and sees what was committed before."""
    with sqlite.begin() as writer:
        writer.add(Event(at=NOW, kind="test", detail={}))
        writer.flush()
        with sqlite.read() as reader:
            assert reader.query(Event).count() == 0
    with sqlite.read() as reader:
        assert reader.query(Event).count() == 1


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/db", "oracle://host/db"])
def test_a_wrong_url_names_the_setting_and_hides_the_password(url: str) -> None:
    """The operator is told which key to mend."""
    with pytest.raises(ConfigurationError, match=r"\Adatabase_url: "):
        Database(url)
