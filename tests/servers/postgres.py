"""A private PostgreSQL with one fresh database per test."""

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from dicom_io.types import TransportSecurity
from tests.servers.ports import LOOPBACK, free_port
from tests.servers.processes import running
from tests.servers.programs import require_program

PACKAGE = "postgresql"
DURABILITY_OFF = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@dataclass(frozen=True)
class PostgresServer:
    """A running server in which the superuser needs no password."""

    port: int
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def _execute(self, statement: str) -> None:
        with psycopg.connect(f"postgresql://postgres@{LOOPBACK}:{self.port}/postgres", autocommit=True) as connection:
            connection.execute(statement)

    def is_ready(self) -> bool:
        """Whether the server takes statements."""
        try:
            self._execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The SQLAlchemy URL of an empty database that is dropped when the block ends."""
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name}")
        yield f"postgresql+psycopg://postgres@{LOOPBACK}:{self.port}/{name}"
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    @contextlib.contextmanager
    def encrypted(self, own: TransportSecurity) -> Iterator[None]:
        """Let the server speak TLS, too, during the block."""
        with tempfile.TemporaryDirectory(prefix="cxr-postgres-tls-") as name:  # which the server's account may enter
            folder = Path(name)
            for path in (own.certificate, own.key):
                shutil.copy(path, folder)
            if os.geteuid() == 0:
                for path in (folder, *folder.iterdir()):
                    shutil.chown(path, "postgres")
            files = {"ssl_cert_file": folder / own.certificate.name, "ssl_key_file": folder / own.key.name}
            for setting, value in {**files, "ssl": "on"}.items():
                self._execute(f"ALTER SYSTEM SET {setting} = '{value}'")
            self._execute("SELECT pg_reload_conf()")
            yield
            self._execute("ALTER SYSTEM RESET ALL")
            self._execute("SELECT pg_reload_conf()")


def newest_programs() -> str | None:
    """The folder of the newest server's programs, which Debian keeps off PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return str(folders[-1]) if folders else None


def _create_cluster(initdb: str, data: Path, user: str | None) -> None:
    subprocess.run(
        [
            initdb,
            "--pgdata",
            str(data),
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        ],
        check=True,
        capture_output=True,
        user=user,
        cwd=data.parent,
    )


@dataclass(frozen=True)
class Cluster:
    """Where a server keeps its data, whether it runs or not."""

    folder: Path
    port: int
    user: str | None
    durable: bool

    @contextlib.contextmanager
    def serving(self) -> Iterator[tuple[PostgresServer, subprocess.Popen[bytes]]]:
        """Run the server on its data until the block ends."""
        program = require_program("postgres", PACKAGE, folder=newest_programs())
        server, folder = PostgresServer(port=self.port), str(self.folder)
        command = [program, "-D", f"{folder}/data", "-h", LOOPBACK, "-p", str(self.port), "-k", folder]
        options = [part for option in (() if self.durable else DURABILITY_OFF) for part in ("-c", option)]
        with running([*command, *options], ready=server.is_ready, log=self.folder / "log", user=self.user) as process:
            yield server, process


@contextlib.contextmanager
def cluster(*, durable: bool = False) -> Iterator[Cluster]:
    """Make an empty cluster in a temporary folder; as root, under the account that Debian's package made for it.

    Args:
        durable: as in production; else a power cut loses what was committed, and tests take less time.
    """
    initdb = require_program("initdb", PACKAGE, folder=newest_programs())
    user = "postgres" if os.geteuid() == 0 else None
    # Not pytest's own temporary folder: another account may not enter that one.
    with tempfile.TemporaryDirectory(prefix="cxr-postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)
        _create_cluster(initdb, folder / "data", user)
        yield Cluster(folder, free_port(), user, durable)


@contextlib.contextmanager
def postgres(*, durable: bool = False) -> Iterator[PostgresServer]:
    """Run a server on a cluster of its own; see `cluster`."""
    with cluster(durable=durable) as empty, empty.serving() as (server, _):
        yield server
