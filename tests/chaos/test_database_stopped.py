"""PostgreSQL goes away while studies are being pushed, and comes back."""

import time

from tests.chaos.conftest import Production
from tests.chaos.invariants import assert_promises_kept, settle, take_stock
from tests.chaos.ledger import OUT_OF_RESOURCES, Ledger
from tests.chaos.pusher import push, push_the_rest, pushing, wait_for_more
from tests.chaos.report import Report
from tests.chaos.scale import Scale

LONGEST_ANSWER_SECONDS = 10.0  # twice the time that a connection to the database may take


def test_objects_are_refused_while_postgresql_is_away_and_everything_flows_when_it_is_back(
    production: Production, scale: Scale, report: Report
) -> None:
    """0xA700 meanwhile, at once; afterwards nothing is missing, and no process had to be started again."""
    service, ledger, meanwhile = production.service, Ledger(), Ledger()
    starts = {name: part.starts for name, part in service.parts.items()}
    fault = f"PostgreSQL stopped for {scale.outage_seconds:g} s, then back"
    with report.row("database", fault, planned=1) as row:
        with pushing(service, production.films, ledger, scale):
            wait_for_more(ledger, 4)
            production.postgres.stop()
            row.notes["longest_answer_seconds"] = _push_meanwhile(production, meanwhile, scale)
            production.postgres.start()
            wait_for_more(ledger, 4)
        row.rounds = 1
        assert set(meanwhile.answers()) == {OUT_OF_RESOURCES}
        ledger.include(meanwhile)
        push_the_rest(service.listener, ledger)
        settle(service, ledger)
        row.take(tally := take_stock(service, ledger))
        assert_promises_kept(tally)
        assert {name: part.starts for name, part in service.parts.items()} == starts


def _push_meanwhile(production: Production, ledger: Ledger, scale: Scale) -> float:
    end, longest = time.monotonic() + scale.outage_seconds, 0.0
    while time.monotonic() < end:
        begun = time.monotonic()
        push(production.service.listener, [production.films.new()], ledger)
        longest = max(longest, time.monotonic() - begun)
        assert not ledger.accepted()
        time.sleep(scale.pause)
    assert longest < LONGEST_ANSWER_SECONDS
    return round(longest, 2)
