"""kill -9 of any process at any time, while studies are being pushed with `storescu`."""

import os
import random
import signal
import time

import pytest

from tests.chaos.conftest import Production, Progress
from tests.chaos.films import Films
from tests.chaos.invariants import assert_promises_kept, settle, take_stock
from tests.chaos.ledger import Ledger
from tests.chaos.pusher import pushing, wait_for_more
from tests.chaos.report import Report
from tests.chaos.scale import Scale
from tests.chaos.service import ChaosService
from tests.servers.ports import wait_until

CHECKPOINT = 20  # kills between two looks at everything
KINDS = {"embedded": "SQLite, embedded broker", "production": "PostgreSQL, Redis"}


@pytest.fixture(params=KINDS if Scale.from_environment().long else ["embedded"])
def attacked(request: pytest.FixtureRequest, films: Films) -> tuple[str, ChaosService, Films]:
    """A service, what it runs on, and films for it; the one of production in the long form only."""
    if request.param == "embedded":
        return KINDS["embedded"], request.getfixturevalue("embedded"), films
    production: Production = request.getfixturevalue("production")
    return KINDS["production"], production.service, production.films


def test_every_promise_is_kept_whatever_is_killed_when(
    attacked: tuple[str, ChaosService, Films], scale: Scale, dice: random.Random, report: Report, progress: Progress
) -> None:
    """What was answered 0x0000 is concluded and delivered exactly once; nothing else is there by halves."""
    kind, service, films = attacked
    ledger, names = Ledger(), list(service.parts)
    fault = f"kill -9 of {', '.join(names)} ({kind})"
    with report.row(f"killed: {kind}", fault, planned=scale.kills) as row:
        while row.rounds < scale.kills:
            with pushing(service, films, ledger, scale):
                for name in _victims(names, dice, min(CHECKPOINT, scale.kills - row.rounds)):
                    if name.startswith("listener"):
                        wait_for_more(ledger, 3)  # else it might be killed at every start, and never promise anything
                    kill_one(service, name, dice, longest_wait=scale.kill_within)
                    row.rounds += 1
                wait_for_more(ledger, 1)
            settle(service, ledger)
            tally = take_stock(service, ledger)
            row.counts = tally.counts()
            report.save()
            progress(f"{row.rounds} of {scale.kills} kills: {row.counts}")
            assert_promises_kept(tally)


def _victims(names: list[str], dice: random.Random, count: int) -> list[str]:
    order = [name for _ in range(count // len(names) + 1) for name in dice.sample(names, len(names))]
    return order[:count]


def kill_one(service: ChaosService, name: str, dice: random.Random, *, longest_wait: float) -> None:
    """Wait for a random time, then send SIGKILL to one process of a part: its first, or one that it has started.

    Most parts are let come to work first, some are killed while they start.
    """
    part = service.parts[name]
    if dice.random() < 0.75:
        wait_until(lambda: service.is_at_work(name), f"{name} at work", seconds=120, every=0.1)
    time.sleep(dice.uniform(0, longest_wait))  # any moment of the work, and of its start, must do
    victims = part.processes()
    if victims:
        os.kill(dice.choice(victims), signal.SIGKILL)
