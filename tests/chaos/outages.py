"""Servers that go away and come back where they were."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

import psycopg

from tests.end_to_end.service import descendants
from tests.servers import redis as redis_server
from tests.servers.ports import LOOPBACK, free_port
from tests.servers.postgres import Cluster, cluster
from tests.servers.storescp import StoreScp, storescp


@dataclass
class Postgres:
    """A PostgreSQL that keeps its data while it is away."""

    where: Cluster
    _running: ExitStack = field(default_factory=ExitStack)
    _process: Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """SQLAlchemy URL of its only database."""
        return f"postgresql+psycopg://postgres@{LOOPBACK}:{self.where.port}/chaos"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        _, self._process = self._running.enter_context(self.where.serving())

    def stop(self) -> None:
        """Stop the server as an administrator would, sessions or not (`pg_ctl stop --mode=fast`)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)
        self._running.close()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let no process of the server do anything during the block; its host goes on answering the network."""
        assert self._process is not None
        with frozen(self._process.pid):
            yield


@contextmanager
def frozen(process_id: int) -> Iterator[None]:
    """Stop a process and all that it has started, as a machine whose disk hangs, until the block ends."""
    processes = (process_id, *descendants(process_id))
    for each in processes:
        _send(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in processes:
            _send(each, signal.SIGCONT)


def _send(process_id: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(process_id, number)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a PostgreSQL with one empty database until the block ends."""
    with cluster() as empty:
        server = Postgres(empty)
        server.start()
        administrator = f"postgresql://postgres@{LOOPBACK}:{empty.port}/postgres"
        with psycopg.connect(administrator, autocommit=True) as connection:
            connection.execute("CREATE DATABASE chaos")
        try:
            yield server
        finally:
            server.stop()


@dataclass
class Redis:
    """A Redis that keeps nothing: whatever it held is gone when it is killed."""

    folder: Path
    port: int = field(default_factory=free_port)
    _running: ExitStack = field(default_factory=ExitStack)
    _process: Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its URL."""
        return redis_server.url_of(self.port)

    def start(self) -> None:
        """Start the server, empty, and wait until it answers."""
        self._process = self._running.enter_context(redis_server.serving(self.folder, self.port))

    def kill(self) -> None:
        """Send SIGKILL."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._running.close()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let the server do nothing during the block; its host goes on answering the network."""
        assert self._process is not None
        with frozen(self._process.pid):
            yield


@dataclass
class Pacs:
    """DCMTK's storescp as the destination `pacs`; what it received stays while it is away."""

    folder: Path
    port: int = field(default_factory=free_port)
    _running: ExitStack = field(default_factory=ExitStack)
    _server: StoreScp | None = None

    @property
    def toml(self) -> str:
        """The destination in the settings."""
        address = f'ae_title = "PACS"\nhost = "{LOOPBACK}"\nport = {self.port}\ntimeout_seconds = 10\n'
        return f'[[destinations]]\nname = "pacs"\nkind = "dicom"\n{address}'

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.folder.mkdir(exist_ok=True)
        self._server = self._running.enter_context(storescp(self.folder, ae_title="PACS", port=self.port))

    def stop(self) -> None:
        """Stop it."""
        self._running.close()

    def arrivals(self) -> list[Path]:
        """The reports that it holds, in the order in which they came."""
        received = (self.folder / "received").iterdir()
        return sorted(received, key=lambda path: path.stat().st_mtime_ns)
