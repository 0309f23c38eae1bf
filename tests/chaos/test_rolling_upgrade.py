"""A new version takes over from the old one on PostgreSQL and Redis while studies are being pushed."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import text

from dicom_io.types import ApplicationEntity
from tests.chaos.conftest import StartChaos
from tests.chaos.films import Films
from tests.chaos.invariants import assert_promises_kept, settle, take_stock
from tests.chaos.ledger import Ledger
from tests.chaos.outages import Redis, postgres
from tests.chaos.parts import Keeper, Part
from tests.chaos.pusher import Pusher, push_the_rest, wait_for_more
from tests.chaos.report import Report
from tests.chaos.scale import Scale
from tests.chaos.service import START_SECONDS, ChaosService, is_at_work
from tests.chaos.versions import next_version
from tests.servers.ports import free_port, wait_until
from worker.settings import CONFIG_VARIABLE

USAGE_ERROR = 2


@dataclass
class NextVersion:
    """The hosts of the new version, beside those of the old one; its listener has a port of its own."""

    old: ChaosService
    tree: Path

    def __post_init__(self) -> None:
        """Choose the port."""
        self.listener = replace(self.old.listener, port=free_port())
        self.environment = {CONFIG_VARIABLE: str(self.old.config), "CXR_LISTENER__PORT": str(self.listener.port)}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the new version."""
        command = (sys.executable, "-m", "worker.cli", *words)
        environment = {**os.environ, **self.environment}
        return subprocess.run(
            command, cwd=self.tree, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Run its parts until the block ends."""
        parts = [self._mine(part) for part in self.old.make_parts(self.tree)]
        keeper = Keeper(parts)
        keeper.start()
        try:
            wait_until(
                lambda: all(map(is_at_work, parts)), f"the new version at work, see {self.tree}", seconds=START_SECONDS
            )
            yield
        finally:
            keeper.stop()

    def _mine(self, part: Part) -> Part:
        return replace(part, environment={**part.environment, **self.environment})


@pytest.fixture
def old(start_chaos: StartChaos, scale: Scale, tmp_path: Path) -> Iterator[ChaosService]:
    """The present version at work, on servers of its own."""
    broker = Redis(tmp_path)
    with postgres() as database:
        broker.start()
        urls = {"database_url": database.url, "broker_url": broker.url}
        service = start_chaos("old", settings=urls, only=("listener", "beat", *scale.workers))
        yield service
        service.stop()
        broker.kill()


def restart(service: ChaosService) -> None:
    """Kill every part, and wait until each is at work again."""
    starts = {part.name: part.starts for part in service.parts.values()}
    for part in service.parts.values():
        part.end(signal.SIGKILL)

    def is_back(part: Part) -> bool:
        return part.starts > starts[part.name] and is_at_work(part)

    wait_until(
        lambda: all(map(is_back, service.parts.values())),
        f"the old version at work again, see {service.folder}",
        seconds=START_SECONDS,
    )


def stop(service: ChaosService) -> None:
    """Stop every part for good, as an operator would."""
    for part in service.parts.values():
        part.held = True
        part.end(signal.SIGTERM)
    wait_until(
        lambda: not any(part.processes() for part in service.parts.values()), "the end of the old version", seconds=60
    )


def written_by(service: ChaosService) -> tuple[int, int]:
    """How many studies the old version has begun since the migration or before it, and how many the new one."""
    with service.database.read() as session:
        row = session.execute(text("SELECT count(*) - count(ward), count(ward) FROM studies")).one()
    return row[0], row[1]


def test_old_and_new_work_side_by_side_over_a_migration(
    old: ChaosService, scale: Scale, dice: random.Random, report: Report, tmp_path: Path
) -> None:
    """No accepted object is lost, every study is concluded and delivered once, and a killed old worker starts again."""
    (tmp_path / "films").mkdir()
    films, ledger = Films(tmp_path / "films", in_scope="score" in scale.workers), Ledger()
    new = NextVersion(old, next_version(tmp_path / "new"))

    def pushing(listener: ApplicationEntity) -> Pusher:
        return Pusher(listener, films, ledger, dice, scale)

    with report.row("upgrade", "a rolling upgrade over a migration (PostgreSQL, Redis)", planned=1) as row:
        with ExitStack() as senders:
            senders.enter_context(pushing(old.listener))
            early = new.run("listen")
            assert (early.returncode, early.stderr.count("\n")) == (USAGE_ERROR, 1)
            assert "run `cxr-triage migrate`" in early.stderr
            migrated = new.run("migrate")
            assert migrated.returncode == 0, migrated.stderr
            wait_for_more(ledger, 2)
            with new.at_work():
                restart(old)
                with pushing(new.listener):
                    wait_for_more(ledger, 4)
                    senders.close()
                    stop(old)
                    wait_for_more(ledger, 2)
                push_the_rest(new.listener, ledger)
                settle(old, ledger)
        row.rounds = 1
        tally = take_stock(old, ledger)
        row.counts = tally.counts()
        assert_promises_kept(tally)
        assert tally.concluded == len(ledger.studies())
        assert all(written_by(old))
