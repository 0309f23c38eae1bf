"""The clock is stepped back an hour while studies are being pushed and work is claimed."""

import signal
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.chaos.clock import SteppedClock
from tests.chaos.conftest import Progress, StartChaos
from tests.chaos.films import Films
from tests.chaos.invariants import assert_promises_kept, settle, take_stock
from tests.chaos.ledger import Ledger
from tests.chaos.parts import Part
from tests.chaos.pusher import pushing, wait_for_more
from tests.chaos.report import Report
from tests.chaos.scale import Scale
from tests.chaos.service import ChaosService
from tests.servers.ports import wait_until
from worker.tables import Delivery, Image, Score

HOUR = 3600


@pytest.fixture
def clock(tmp_path: Path) -> SteppedClock:
    """A clock that is right at first."""
    clock = SteppedClock(tmp_path)
    clock.set_back(0)
    return clock


def test_nothing_is_stuck_and_nothing_said_twice_when_the_clock_is_set_back(
    start_chaos: StartChaos, clock: SteppedClock, tmp_path: Path, scale: Scale, report: Report, progress: Progress
) -> None:
    """A lease that a dead worker wrote before the step counts as over, and the sweep goes on."""
    films = Films(tmp_path, in_scope="score" in scale.workers)
    service = start_chaos("clock", environment=clock.environment, only=("listener", "beat", *scale.workers))
    with report.row("clock", "clock stepped back an hour (libfaketime)", planned=scale.clock_steps) as row:
        while row.rounds < scale.clock_steps:
            ledger = Ledger()
            with pushing(service, films, ledger, scale):
                kill_while_leased(service, scale.workers)
                row.rounds += 1
                clock.set_back(row.rounds * HOUR)
                wait_until(lambda: _went_back(service), "a film received an hour before those before it", seconds=30)
                _start_again(service, scale.workers)
                wait_for_more(ledger, 2)
            settle(service, ledger)
            row.take(tally := take_stock(service, ledger))
            progress(f"{row.rounds} of {scale.clock_steps} steps back: {row.counts}")
            assert_promises_kept(tally)
    service.stop()


def kill_while_leased(service: ChaosService, workers: Sequence[str]) -> None:
    """Send SIGKILL to workers while one of them holds a lease; they stay down."""
    parts = [service.parts[name] for name in workers]
    for part in parts:
        part.held = True
    wait_until(lambda: _frozen_while_leased(service, parts), "a worker stopped in the middle of its work", seconds=60)
    for part in parts:
        part.end(signal.SIGKILL)
    wait_until(lambda: not any(part.processes() for part in parts), "the end of the workers")


def _frozen_while_leased(service: ChaosService, parts: Sequence[Part]) -> bool:
    for part in parts:
        part.end(signal.SIGSTOP)
    if _leases(service):
        return True
    for part in parts:
        part.end(signal.SIGCONT)
    return False


def _start_again(service: ChaosService, workers: Sequence[str]) -> None:
    for name in workers:
        service.parts[name].held = False


def _leases(service: ChaosService) -> int:
    held = [select(func.count()).where(table.lease_until.is_not(None)) for table in (Image, Score, Delivery)]
    with service.database.read() as session:
        return sum(session.scalars(statement).one() for statement in held)


def _went_back(service: ChaosService) -> bool:
    with service.database.read() as session:
        times = session.scalars(select(Image.received_at).order_by(Image.id.desc()).limit(20)).all()
    return max(times) - min(times) > timedelta(seconds=HOUR / 2)
