"""PostgreSQL and Redis, with passwords, on a host of their own."""

import contextlib
import os
import secrets
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

import psycopg
from redis import Redis
from redis.exceptions import RedisError

from tests.servers.hosts import Host
from tests.servers.postgres import DURABILITY_OFF, Cluster, cluster, newest_programs
from tests.servers.processes import running
from tests.servers.programs import require_program

_POSTGRES_PORT = 5432
_REDIS_PORT = 6379


@dataclass
class DataHost:
    """The servers; their Unix sockets are the door for whoever looks in from outside the network."""

    host: Host
    cluster: Cluster
    folder: Path
    password: str = field(default_factory=lambda: secrets.token_hex(8))
    _running: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _redis: Popen[bytes] | None = None

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL for the other hosts."""
        return f"postgresql+psycopg://cxr:{self.password}@{self.host.address}:{_POSTGRES_PORT}/cxr"

    @property
    def database_door(self) -> str:
        """SQLAlchemy URL for the tests."""
        return f"postgresql+psycopg://cxr@/cxr?host={self.cluster.folder}&port={_POSTGRES_PORT}"

    @property
    def broker_url(self) -> str:
        """Celery's broker URL for the other hosts."""
        return f"redis://:{self.password}@{self.host.address}:{_REDIS_PORT}/0"

    def start(self) -> None:
        """Start both and make the database."""
        with (self.cluster.folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet scram-sha-256\n")
        self._running.enter_context(self._postgres())
        self._administer(f"CREATE ROLE cxr LOGIN PASSWORD '{self.password}'")
        self._administer("CREATE DATABASE cxr OWNER cxr")
        self.start_redis()

    def start_redis(self) -> None:
        """Start Redis, empty."""
        program = require_program("redis-server", "redis-server")
        command = [program, "--bind", self.host.address, "--port", str(_REDIS_PORT), "--save", ""]
        command += ["--requirepass", self.password, "--unixsocket", str(self._socket)]
        log = self.folder / "redis.log"
        server = running([*self.host.within, *command], ready=self._redis_answers, log=log)
        self._redis = self._running.enter_context(server)

    def kill_redis(self) -> None:
        """Send SIGKILL to Redis: all it held is gone, and so is every connection, which nobody may hear of."""
        assert self._redis is not None
        os.killpg(self._redis.pid, signal.SIGKILL)
        self._redis.wait()

    def stop(self) -> None:
        """Stop both."""
        self._running.close()

    @property
    def _socket(self) -> Path:
        return self.folder / "redis.socket"

    def _redis_answers(self) -> bool:
        try:
            with Redis(unix_socket_path=str(self._socket), password=self.password) as client:
                return bool(client.ping())
        except RedisError:
            return False

    def _postgres(self) -> contextlib.AbstractContextManager[Popen[bytes]]:
        program = require_program("postgres", "postgresql", folder=newest_programs())
        folder = str(self.cluster.folder)
        where = ["-h", self.host.address, "-p", str(_POSTGRES_PORT), "-k", folder]
        options = [part for option in DURABILITY_OFF for part in ("-c", option)]
        account = [
            "setpriv",
            "--reuid",
            "postgres",
            "--regid",
            "postgres",
            "--init-groups",
            "--pdeathsig",
            "KILL",
            "--",
        ]
        command = [*self.host.within, *account, program, "-D", f"{folder}/data", *where, *options]
        return running(command, ready=self._postgres_answers, log=self.folder / "postgres.log")

    def _postgres_answers(self) -> bool:
        try:
            self._administer("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _administer(self, statement: str) -> None:
        where = {"host": str(self.cluster.folder), "port": _POSTGRES_PORT, "user": "postgres", "dbname": "postgres"}
        with psycopg.connect(autocommit=True, **where) as connection:  # type: ignore[arg-type]
            connection.execute(statement)


@contextlib.contextmanager
def data_host(host: Host, folder: Path) -> Iterator[DataHost]:
    """Run both servers on a host until the block ends."""
    with cluster() as empty:
        servers = DataHost(host, empty, folder)
        try:
            servers.start()
            yield servers
        finally:
            servers.stop()
