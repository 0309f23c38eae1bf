"""The embedded database's file, handled by an operator while the service runs."""

from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from tests.studies import incoming, receive
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
