"""The embedded database's file, handled by an operator while the service runs."""

import os
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from tests.studies import incoming, receive
from worker.cli.main import app
from worker.db import Database
from worker.schema import migrate


@pytest.mark.parametrize("replaced", [False, True])
def test_nothing_is_committed_to_a_file_that_is_gone(replaced: bool, tmp_path: Path) -> None:
    """Rows of a file that was moved away would be lost with the process: the sender must be told to try again."""
    path = tmp_path / "db.sqlite"
    database = Database(f"sqlite:///{path}")
    migrate(database)
    receive(database, incoming())
    path.rename(tmp_path / "elsewhere")
    if replaced:
        path.write_bytes((tmp_path / "elsewhere").read_bytes())
    with pytest.raises(OperationalError, match="moved, replaced or deleted"):
        receive(database, incoming("2.25.12"))
    database.dispose()


def test_a_file_that_cannot_be_shrunk_is_told_as_any_other_fault(tmp_path: Path) -> None:
    """The statement goes past SQLAlchemy, and `purge` on a read-only disk would end with a traceback."""
    database = Database(f"sqlite:///{tmp_path}/db.sqlite")
    migrate(database)
    with database.begin() as session:
        session.connection().exec_driver_sql("CREATE TABLE large AS SELECT zeroblob(1000000) AS bytes")
    with database.begin() as session:
        session.connection().exec_driver_sql("DROP TABLE large")  # leaves free pages behind
    database.dispose()
    event.listen(database.engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only=ON"))
    with pytest.raises(OperationalError, match="readonly database"):
        database.shrink()
    database.dispose()


def test_a_command_that_makes_the_file_keeps_it_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`status` before the first start, in a folder that a package has made: names of patients come into it later."""
    monkeypatch.setenv("CXR_CONFIG", "")
    monkeypatch.setenv("CXR_DATA_DIR", str(tmp_path))
    before = os.umask(0o022)
    try:
        assert CliRunner().invoke(app, ["status"]).exit_code == 2
    finally:
        os.umask(before)
    assert (tmp_path / "cxr-triage.sqlite").stat().st_mode & 0o777 == 0o600
