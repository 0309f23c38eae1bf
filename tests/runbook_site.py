"""A host as deploy/runbook.md describes it, for running its commands: its folders, units and servers, in one folder.

What a test host lacks stands in: `sudo` runs what follows it, `journalctl` shows the service's log, and `systemctl`
starts and stops real processes. Nothing else of a command is changed but the folders that it begins with.
"""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from sqlalchemy.orm import Session

from tests.chaos.outages import Pacs
from tests.end_to_end.service import CXR_TRIAGE, RunningService
from tests.runbook import Step, steps_of
from tests.servers.ports import LOOPBACK
from tests.servers.postgres import Cluster, cluster
from worker.db import Database

DATABASE = "cxr_triage"
_STAND_INS = {
    "sudo": '#!/bin/bash\n[ "$1" = -u ] && shift 2\nexec "$@"\n',
    "journalctl": '#!/bin/bash\ncat "$SERVE_LOG"\n',
}
_UNIT = re.compile(r"sudo systemctl (start|stop|restart) (\S+)")
# They open the administrator's shell; the site's environment is what they make.
OPENING = re.compile(r"sudo -u cxr-triage -s|export PATH=.*|set -a; \. /etc/cxr-triage/worker\.env; set \+a")


@dataclass
class Postgres:
    """A PostgreSQL server that a command can stop and start."""

    where: Cluster
    _running: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the service's database."""
        return f"postgresql+psycopg://postgres@{LOOPBACK}:{self.where.port}/{DATABASE}"

    @property
    def environment(self) -> dict[str, str]:
        """By which PostgreSQL's own programs find it."""
        return {"PGHOST": LOOPBACK, "PGPORT": str(self.where.port), "PGUSER": "postgres"}

    def execute(self, statement: str) -> None:
        """Run a statement outside the service's database."""
        address = f"postgresql://postgres@{LOOPBACK}:{self.where.port}/postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._running.enter_context(self.where.serving())

    def stop(self) -> None:
        """Stop it."""
        self._running.close()


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a PostgreSQL with the service's database, empty, until the block ends."""
    with cluster() as empty:
        server = Postgres(empty)
        server.start()
        server.execute(f"CREATE DATABASE {DATABASE}")
        try:
            yield server
        finally:
            server.stop()


@dataclass
class Site:
    """One host with everything on it; `serve` is the unit cxr-triage.service.

    Attributes:
        folder: for everything that it makes.
        toml: appended to the settings.
        postgres: None: the embedded database.
    """

    folder: Path
    pacs: Pacs
    toml: str = ""
    postgres: Postgres | None = None
    environment: dict[str, str] = field(default_factory=dict)
    service: RunningService = field(init=False)

    def __post_init__(self) -> None:
        for name in ("data", "etc", "backup", "models", "bin"):
            (self.folder / name).mkdir()
        for name, script in _STAND_INS.items():
            (self.folder / "bin" / name).write_text(script)
            (self.folder / "bin" / name).chmod(0o755)
        database = {} if self.postgres is None else {"database_url": self.postgres.url}
        settings: dict[str, object] = {"shadow": False, **database}
        self.service = RunningService(self.folder, f"{self.toml}\n{self.pacs.toml}", settings, self.environment)

    @contextmanager
    def database(self) -> Iterator[Session]:
        """Look into the service's database."""
        embedded = f"sqlite:///{self.folder / 'data' / 'cxr-triage.sqlite'}"
        database = Database(embedded if self.postgres is None else self.postgres.url)
        with database.read() as session:
            yield session
        database.dispose()

    def shown(self, heading: str, *, before: Callable[[Step], None] = lambda _step: None) -> None:
        """Do everything that stands under a heading, and hold what is printed against what is to be seen."""
        for step in steps_of(heading):
            before(step)
            done = self.type(step.command)
            output = self._as_written(done.stdout + done.stderr)
            assert done.returncode == step.status, f"$ {step.command}\nexit {done.returncode}\n{output}"
            assert (difference := step.difference(output)) is None, difference

    def type(self, command: str) -> subprocess.CompletedProcess[str]:
        """Type a command of the runbook."""
        unit = _UNIT.fullmatch(command)
        if unit is not None:
            self._unit(unit[1], unit[2])
        if unit is not None or OPENING.fullmatch(command):
            return subprocess.CompletedProcess(command, 0, "", "")
        words = ["bash", "-o", "pipefail", "-c", self._here(command)]
        return subprocess.run(words, capture_output=True, text=True, check=False, env=self._environment(), timeout=120)

    def _unit(self, verb: str, unit: str) -> None:
        target = {"cxr-triage": self.service, "postgresql": self.postgres, "pacs": self.pacs}[unit]
        assert target is not None
        if verb in {"stop", "restart"}:
            target.stop()
        if verb in {"start", "restart"}:
            target.start()

    @property
    def _folders(self) -> dict[str, str]:
        return {
            "/opt/cxr-triage/.venv/bin": str(CXR_TRIAGE.parent),
            "/etc/cxr-triage": str(self.folder / "etc"),
            "/var/lib/cxr-triage": str(self.folder / "data"),
            "/srv/backup": str(self.folder / "backup"),
            "/srv/models": str(self.folder / "models"),
        }

    def _here(self, command: str) -> str:
        for written, real in self._folders.items():
            command = command.replace(written, real)
        return command

    def _as_written(self, output: str) -> str:
        for written, real in self._folders.items():
            output = output.replace(real, written)
        return output

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(self.folder / "bin"), str(CXR_TRIAGE.parent), os.environ["PATH"]])
        servers = {} if self.postgres is None else self.postgres.environment
        config = {"CXR_CONFIG": str(self.folder / "settings.toml"), "SERVE_LOG": str(self.service.log)}
        return {**os.environ, "PATH": path, "COLUMNS": "200", **config, **servers, **self.environment}


def flags_by_study(site: Site) -> dict[str, list[str | None]]:
    """What was said of each study, in order: the priorities."""
    said = sorted(
        (json.loads(path.read_text()) for path in site.service.flags_folder.glob("*.json")),
        key=lambda flag: str(flag["created_at"]),
    )
    found: dict[str, list[str | None]] = {}
    for flag in said:
        found.setdefault(str(flag["study_instance_uid"]), []).append(flag["priority"])
    return found
