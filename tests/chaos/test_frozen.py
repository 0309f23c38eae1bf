"""Redis or PostgreSQL does nothing for a while, as on a host whose disk hangs, and goes on as if nothing had been."""

import time
from contextlib import AbstractContextManager

import pytest

from tests.chaos.conftest import Production
from tests.chaos.invariants import assert_promises_kept, settle, take_stock
from tests.chaos.ledger import OUT_OF_RESOURCES, SUCCESS, Ledger
from tests.chaos.pusher import push, push_the_rest
from tests.chaos.report import Report
from tests.chaos.scale import Scale

FROZEN_SECONDS = 30.0
PATIENCE_SECONDS = 30.0  # of a PACS
pytestmark = pytest.mark.skipif(not Scale.from_environment().long, reason="takes minutes: make chaos")


def test_films_are_taken_while_redis_hangs(production: Production, report: Report) -> None:
    """A sender waits for one wake-up at most, and what no message told of is found by the sweep."""
    freeze(production, production.redis.frozen(), report, "Redis", SUCCESS)


def test_films_are_refused_in_time_while_postgresql_hangs(production: Production, report: Report) -> None:
    """0xA700 as from a database that is gone: nobody waits for the disk of the database's host."""
    freeze(production, production.postgres.frozen(), report, "PostgreSQL", OUT_OF_RESOURCES)


def freeze(
    production: Production, frozen: AbstractContextManager[None], report: Report, name: str, answer: int
) -> None:
    """Push films while a server hangs, all of which get this answer, and see that all is said afterwards."""
    service, ledger, meanwhile = production.service, Ledger(), Ledger()
    starts = {name: part.starts for name, part in service.parts.items()}
    with report.row(
        f"{name} frozen", f"{name} frozen for {FROZEN_SECONDS:g} s (SIGSTOP), then thawed", planned=1
    ) as row:
        push(service.listener, [production.films.new() for _ in range(4)], ledger)
        with frozen:
            longest = push_for(production, meanwhile, FROZEN_SECONDS)
        row.rounds, row.notes["longest_answer_seconds"] = 1, round(longest, 2)
        assert longest < PATIENCE_SECONDS
        assert set(meanwhile.answers()) == {answer}
        ledger.include(meanwhile)
        push_the_rest(service.listener, ledger)
        push(service.listener, [production.films.new()], ledger)
        settle(service, ledger)
        row.take(tally := take_stock(service, ledger))
        assert_promises_kept(tally)
    assert {name: part.starts for name, part in service.parts.items()} == starts


def push_for(production: Production, ledger: Ledger, seconds: float) -> float:
    """Push film by film; returns the longest wait for an answer, seconds."""
    end, longest = time.monotonic() + seconds, 0.0
    while time.monotonic() < end:
        begun = time.monotonic()
        push(production.service.listener, [production.films.new()], ledger)
        longest = max(longest, time.monotonic() - begun)
    return longest
