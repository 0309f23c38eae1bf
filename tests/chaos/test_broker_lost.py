"""kill -9 and the loss of all that Redis held, while studies are being pushed."""

import random
import time

from tests.chaos.conftest import Production, Progress
from tests.chaos.invariants import assert_promises_kept, claimed_again, settle, take_stock
from tests.chaos.ledger import Ledger
from tests.chaos.pusher import pushing, wait_for_more
from tests.chaos.report import Report
from tests.chaos.scale import Scale

LONGEST_OUTAGE_SECONDS = 2.0


def test_every_promise_is_kept_when_redis_loses_its_memory(
    production: Production, scale: Scale, dice: random.Random, report: Report, progress: Progress
) -> None:
    """Wake-ups are lost and studies only later: the sweep finds in SQL what no message tells of, and nobody twice."""
    service, ledger = production.service, Ledger()
    fault = "kill -9 and loss of all of Redis's memory"
    with report.row("broker", fault, planned=scale.broker_losses) as row:
        while row.rounds < scale.broker_losses:
            with pushing(service, production.films, ledger, scale):
                wait_for_more(ledger, dice.randint(2, 8))
                production.redis.kill()
                time.sleep(dice.uniform(0, LONGEST_OUTAGE_SECONDS))
                production.redis.start()
                wait_for_more(ledger, 2)
            settle(service, ledger)
            row.rounds += 1
            row.take(tally := take_stock(service, ledger))
            progress(f"{row.rounds} of {scale.broker_losses} losses of Redis: {row.counts}")
            assert_promises_kept(tally)
            assert claimed_again(service, ledger) == []
