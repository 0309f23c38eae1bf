"""How a database goes about a query: which index it takes."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import event

from worker.db import Database


def plans(database: Database, act: Callable[[], object], *, of: str) -> list[str]:
    """The plans of the statements that `act` sends, of those that hold the text `of`."""
    sent: list[tuple[str, Any]] = []

    def note(*told: Any) -> None:
        sent.append((told[2], told[3]))

    event.listen(database.engine, "before_cursor_execute", note)
    act()
    event.remove(database.engine, "before_cursor_execute", note)
    sqlite = database.engine.dialect.name == "sqlite"
    with database.engine.connect() as connection:
        if not sqlite:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # a test's tables are too small for an index
        explain = "EXPLAIN QUERY PLAN" if sqlite else "EXPLAIN"
        return [
            str(connection.exec_driver_sql(f"{explain} {text}", values).all()) for text, values in sent if of in text
        ]
