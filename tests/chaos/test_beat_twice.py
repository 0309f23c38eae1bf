"""A beat that was started twice, as happens where two hosts are set up alike."""

import random
from collections import Counter
from dataclasses import replace

from redis import Redis

from tests.chaos.conftest import Production
from tests.chaos.invariants import assert_promises_kept, claimed_again, settle, take_stock
from tests.chaos.ledger import Ledger
from tests.chaos.parts import Keeper
from tests.chaos.pusher import Pusher, wait_for_more
from tests.chaos.report import Report
from tests.chaos.scale import Scale
from worker.queues import SWEEP, task_name

SWEEPS = 4  # of each beat, while films come


def watch_until_both_send(url: str) -> None:
    """Listen to Redis until sweeps came from two senders."""
    sent: Counter[str] = Counter()
    with Redis.from_url(url) as client, client.monitor() as monitor:
        for seen in monitor.listen():
            if seen["command"].startswith("LPUSH") and task_name(SWEEP) in seen["command"]:
                sent[f"{seen['client_address']}:{seen['client_port']}"] += 1
            if sum(count >= SWEEPS for count in sent.values()) == 2:
                return


def test_two_beats_do_what_one_does(production: Production, scale: Scale, dice: random.Random, report: Report) -> None:
    """Both send sweeps all the time; no study is concluded twice, and no row is claimed twice."""
    service, ledger = production.service, Ledger()
    second = replace(
        service.parts["beat"],
        name="beat-again",
        log=service.folder / "beat-again.log",
        process=None,
        starts=0,
        _begun=0,
    )
    keeper = Keeper((second,))
    with report.row("beat", "a second beat (PostgreSQL, Redis)", planned=1) as row:
        keeper.start()
        try:
            with Pusher(service.listener, production.films, ledger, dice, scale):
                watch_until_both_send(production.redis.url)
                wait_for_more(ledger, 2)
            settle(service, ledger)
        finally:
            keeper.stop()
        row.rounds = 1
        tally = take_stock(service, ledger)
        row.counts = tally.counts()
        assert_promises_kept(tally)
        assert tally.concluded == len(ledger.studies())
        assert claimed_again(service, ledger) == []
