"""Connections to PostgreSQL, straight to it or through a pooler such as PgBouncer."""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import ProtocolViolation
from psycopg.pq import TransactionStatus

from worker.errors import ConfigurationError
from worker.keepalive import POSTGRESQL_SETTINGS

CANCEL_SECONDS = 1.0
_INTERVAL_SECONDS = 0.1  # psycopg's own, after which it looks for a signal
_T = TypeVar("_T")


class ImpatientConnection(psycopg.Connection[Any]):
    """A connection that is given up when an answer takes longer than `answer_seconds`.

    The kernel only notices a server whose host is gone. One that hangs, or a pooler that keeps us waiting for a server,
    would be waited for as long as it takes.
    """

    answer_seconds: float | None = None

    def wait(self, gen: PQGen[_T], interval: float = _INTERVAL_SECONDS, timeout: float | None = None) -> _T:
        """Wait for the answer to one statement.

        Raises:
            psycopg.OperationalError: if it did not come in time; the connection is closed.
        """
        try:
            return super().wait(gen, interval, timeout or self.answer_seconds)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self._give_up()
            raise

    def _give_up(self) -> None:
        # A statement that waits for a lock would go on waiting for it, and so would every one that comes after it.
        try:
            self.cancel_safe(timeout=CANCEL_SECONDS)
        except psycopg.Error:
            pass
        finally:
            self.close()


def settle(connection: psycopg.Connection[Any]) -> None:
    """Prepare a new connection for being used for long.

    PostgreSQL's end is told when a silent client counts as gone; poolers refuse options that say so.

    Raises:
        ConfigurationError: if a pooler lends its servers for a statement only.
    """
    names = ", ".join("set_config(%s, %s, false)" for _ in POSTGRESQL_SETTINGS)
    words = [word for setting in POSTGRESQL_SETTINGS.items() for word in setting]
    connection.autocommit = True  # a rollback would take the settings back
    (server_pid, *_) = connection.execute(f"SELECT pg_backend_pid(), {names}", words).fetchone() or (None,)
    connection.autocommit = False
    if server_pid != connection.info.backend_pid:
        _agree_with_pooler(connection)


def _agree_with_pooler(connection: psycopg.Connection[Any]) -> None:
    # Between us and the server somebody speaks for it, and may lend another server for the next transaction, which
    # knows nothing of what was prepared in this one.
    connection.prepare_threshold = None
    try:
        connection.execute("SELECT 1")
        connection.rollback()
    except ProtocolViolation as error:
        if "pooling mode" not in str(error):
            raise
        connection.close()
        raise ConfigurationError(
            "database_url: the pooler there has servers for single statements only, and this service needs "
            "transactions: set pool_mode = transaction (or session) for this database in pgbouncer.ini"
        ) from error
