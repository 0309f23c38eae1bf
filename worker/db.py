"""The engine and its transactions.

SQL is the truth of the service. Production is PostgreSQL; the embedded default is SQLite in WAL mode with
`synchronous=FULL`, so that a committed row survives a power cut on both.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from worker.errors import ConfigurationError
from worker.keepalive import LIBPQ_OPTIONS
from worker.postgresql import ImpatientConnection, settle

BUSY_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 5
BINARY = "binary_results"  # execution option of a statement that returns pixels
PAGES_PER_SHRINK = 5000  # 20 MB, so that writers do not wait long
AWAY = (OperationalError, InterfaceError, PoolTimeoutError)  # what a read raises while the database does not answer
_AFTER_COMMIT = "after_commit"


class Database:
    """One engine, and sessions on it that end in a commit or leave nothing behind.

    Args:
        url: SQLAlchemy URL of an SQLite file or a PostgreSQL database.
        answer_seconds: longest wait for PostgreSQL's answer to one statement, and for a connection that is free; None:
            for as long as it takes, as a report or a migration may.

    Raises:
        ConfigurationError: if the URL cannot be parsed or names another kind of database.
    """

    def __init__(self, url: str, *, answer_seconds: float | None = None) -> None:
        self.engine = _create_engine(url, answer_seconds)
        self._turn = threading.Lock() if self.engine.dialect.name == "sqlite" else None

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """Open a writing transaction: committed at the end of the block, rolled back on an exception."""
        with self._writers_turn(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session
        for do in session.info.pop(_AFTER_COMMIT, ()):
            do()

    @contextmanager
    def _writers_turn(self) -> Iterator[None]:
        # SQLite has one writer at a time, and lets the others sleep up to 100 ms at a go until it is free; threads of
        # one process need not wait longer than the commit before theirs. After the time-out SQLite itself says no.
        taken = self._turn is not None and self._turn.acquire(timeout=BUSY_TIMEOUT_SECONDS)
        try:
            yield
        finally:
            if taken and self._turn is not None:
                self._turn.release()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a transaction that only reads; on SQLite it takes no write lock."""
        with Session(self.engine.execution_options(read_only=True), expire_on_commit=False) as session:
            yield session

    def shrink(self) -> None:
        """Give pages that deleted rows have left back to the disk, at most `PAGES_PER_SHRINK`; SQLite only.

        Raises:
            OperationalError: if the database is locked or cannot be written.
        """
        if self.engine.dialect.name != "sqlite":
            return
        with closing(self.engine.raw_connection()) as pooled:
            # Each step of the statement frees one page; of what has no columns, only a script is stepped to its end.
            connection: Any = pooled.driver_connection
            try:
                connection.executescript(f"PRAGMA incremental_vacuum({PAGES_PER_SHRINK})")
            except sqlite3.OperationalError as error:  # not wrapped, as it went past SQLAlchemy
                raise OperationalError("incremental_vacuum", None, error) from error

    def dispose(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()


def after_commit(session: Session, do: Callable[[], None]) -> None:
    """Have something done once the transaction of `Database.begin` is committed, and not if it never is.

    Args:
        session: of the transaction.
        do: must not raise; counts, for instance.
    """
    session.info.setdefault(_AFTER_COMMIT, []).append(do)


def _create_engine(url: str, answer_seconds: float | None) -> Engine:
    # Parameters are hidden from error texts, which are logged: an image's header holds the patient's name.
    try:
        backend = make_url(url).get_backend_name()
        if backend == "postgresql":
            return _create_postgresql_engine(url, answer_seconds)
        if backend == "sqlite":
            return _create_sqlite_engine(url)
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise ConfigurationError("database_url: not a SQLAlchemy URL, such as postgresql+psycopg://…") from None
    raise ConfigurationError(f"database_url: {backend} is not supported; use postgresql+psycopg or sqlite")


def _create_postgresql_engine(url: str, answer_seconds: float | None) -> Engine:
    options = {"connect_timeout": CONNECT_TIMEOUT_SECONDS, **LIBPQ_OPTIONS}
    pool = {} if answer_seconds is None else {"pool_timeout": answer_seconds}
    engine = create_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args=options, **pool)
    if answer_seconds is not None:
        event.listen(engine, "do_connect", partial(_connect_impatiently, answer_seconds))
    event.listen(engine, "connect", lambda connection, _record: settle(connection), insert=True)  # before SQLAlchemy's
    event.listen(engine, "before_cursor_execute", _ask_for_bytes)
    return engine


def _connect_impatiently(
    answer_seconds: float, _dialect: Any, _record: Any, words: Any, options: Any
) -> ImpatientConnection:
    connection = ImpatientConnection.connect(*words, **options)
    connection.answer_seconds = answer_seconds
    return connection


def _ask_for_bytes(_connection: Any, cursor: Any, _statement: str, _values: Any, context: Any, _many: bool) -> None:
    # As text, which is psycopg's default, pixels travel as hexadecimal digits: twice as many bytes.
    if context is not None and context.execution_options.get(BINARY):
        cursor.format = psycopg.pq.Format.BINARY


def _create_sqlite_engine(url: str) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    if engine.url.database:
        path = Path(engine.url.database)
        event.listen(engine, "connect", partial(_remember_file, path))
        event.listen(engine, "checkout", partial(_require_same_file, path))
    return engine


def _remember_file(path: Path, _connection: Any, record: Any) -> None:
    record.info["file"] = _identity(path)


def _require_same_file(path: Path, _connection: Any, record: Any, _proxy: Any) -> None:
    # Rows that are committed to a file which was moved away or deleted would be gone with the process.
    if _identity(path) != record.info["file"]:
        cause = FileNotFoundError(f"{path} was moved, replaced or deleted while in use: restart the service")
        raise OperationalError("checkout", None, cause)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin by itself; _begin_sqlite does
    if connection.execute("PRAGMA page_count").fetchone() == (0,):  # later it does nothing, but waits for writers
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that turns from reading to writing can fail with SQLITE_BUSY at once, without waiting.
    read_only = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
