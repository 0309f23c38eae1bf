"""Two hosts, their servers on a third and a PACS on a fourth; the network between them is cut and healed."""

import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.chaos.conftest import Progress
from tests.chaos.films import Films
from tests.chaos.invariants import assert_promises_kept, settle, take_stock
from tests.chaos.ledger import SUCCESS, Ledger
from tests.chaos.pusher import push
from tests.chaos.report import FaultRow, Report
from tests.chaos.scale import Scale
from tests.chaos.two_hosts import DATA, LISTENER, PACS, SCORE, TwoHosts, two_hosts

ANSWER_WITHIN_SECONDS = 40.0  # of the listener, while it cannot reach its database


@dataclass(frozen=True)
class Cut:
    """A way to cut the network, and to heal it."""

    fault: str
    begin: Callable[[TwoHosts], None]
    heal: Callable[[TwoHosts], None]


def _lose_redis_and_heal(hosts: TwoHosts) -> None:
    # Nobody hears that their connections are gone, since nothing reaches anybody.
    hosts.data.kill_redis()
    hosts.data.start_redis()
    hosts.network.heal(DATA)


def _kill_and_heal(hosts: TwoHosts) -> None:
    # Nor does PostgreSQL hear of the end of who held its locks.
    hosts.parts["score"].end(signal.SIGKILL)
    hosts.network.heal(SCORE)


def _silently(name: str) -> tuple[Callable[[TwoHosts], None], Callable[[TwoHosts], None]]:
    return (lambda hosts: hosts.network.cut(name)), (lambda hosts: hosts.network.heal(name))


SERVERS = Cut("servers' host cut off, Redis killed meanwhile", _silently(DATA)[0], _lose_redis_and_heal)
OTHERS = (
    Cut("servers' host cut off", *_silently(DATA)),
    Cut("score host cut off", *_silently(SCORE)),
    Cut("score host cut off, score killed meanwhile", _silently(SCORE)[0], _kill_and_heal),
    Cut(
        "score host's link down", lambda hosts: hosts.network[SCORE].unplug(), lambda hosts: hosts.network[SCORE].plug()
    ),
    Cut("listener's host cut off", *_silently(LISTENER)),
    Cut(
        "listener's link down",
        lambda hosts: hosts.network[LISTENER].unplug(),
        lambda hosts: hosts.network[LISTENER].plug(),
    ),
    Cut("PACS cut off", *_silently(PACS)),
)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoHosts]:
    """The service on two hosts."""
    with two_hosts(tmp_path_factory.mktemp("hosts")) as service:
        yield service


def test_nothing_is_lost_while_the_servers_are_cut_off_and_the_score_host_sees_no_spool(
    hosts: TwoHosts, films: Films, report: Report
) -> None:
    """Without its database the listener refuses, aloud; what it took is said once, and nothing had to be restarted."""
    ledger = Ledger()
    starts = {name: part.starts for name, part in hosts.parts.items()}
    with report.row("network", f"network: {SERVERS.fault}", planned=1) as row:
        send(hosts, films, ledger, 3)
        SERVERS.begin(hosts)
        ledger.include(refused_while_cut(hosts, films))
        SERVERS.heal(hosts)
        assert_work_goes_on(hosts, films, ledger, row)
    assert {name: part.starts for name, part in hosts.parts.items()} == starts
    assert_score_host_sees_no_spool(hosts)


@pytest.mark.parametrize("cut", OTHERS if Scale.from_environment().long else (), ids=lambda cut: cut.fault)
def test_every_promise_is_kept_whichever_host_is_cut_off_for_however_long(
    cut: Cut, hosts: TwoHosts, films: Films, scale: Scale, dice: random.Random, report: Report, progress: Progress
) -> None:
    """Whoever is cut off comes back by itself, and goes on where it stood."""
    with report.row(f"network: {cut.fault}", f"network: {cut.fault}, healed", planned=3) as row:
        while row.rounds < row.planned:
            ledger = Ledger()
            send(hosts, films, ledger, 4)
            cut.begin(hosts)
            end = time.monotonic() + dice.uniform(1, 2 * scale.outage_seconds)
            while time.monotonic() < end:
                send(hosts, films, ledger, 1)
                time.sleep(scale.pause)
            cut.heal(hosts)
            assert_work_goes_on(hosts, films, ledger, row)
            progress(f"{row.rounds} of {row.planned} {cut.fault}: {row.counts} {row.notes}")


def send(hosts: TwoHosts, films: Films, ledger: Ledger, count: int) -> None:
    """Send so many new films from the PACS, in turn flagged and not."""
    push(hosts.listener, [films.new(flagged=n % 2 == 0) for n in range(count)], ledger, within=hosts.sender)


def refused_while_cut(hosts: TwoHosts, films: Films) -> Ledger:
    """Send until the listener has said no; nothing may be taken meanwhile."""
    ledger, end = Ledger(), time.monotonic() + ANSWER_WITHIN_SECONDS
    while not any(ledger.answers()) and time.monotonic() < end:
        send(hosts, films, ledger, 1)
    assert any(ledger.answers()), "no answer but silence"
    assert SUCCESS not in ledger.answers()
    return ledger


def assert_work_goes_on(hosts: TwoHosts, films: Films, ledger: Ledger, row: FaultRow) -> None:
    """Send what is owed and more, and look whether everything is said; the row takes how long that took."""
    healed = time.monotonic()
    send(hosts, films, ledger, 1)
    while owed := ledger.unanswered():
        push(hosts.listener, owed, ledger, within=hosts.sender)
    row.notes[f"accepting again {row.rounds}"] = round(time.monotonic() - healed, 1)
    settle(hosts, ledger)
    row.notes[f"all said {row.rounds}"] = round(time.monotonic() - healed, 1)
    row.rounds += 1
    row.take(tally := take_stock(hosts, ledger))
    assert_promises_kept(tally)


def assert_score_host_sees_no_spool(hosts: TwoHosts) -> None:
    """The films lie on the listener's host; the other one has no such folder, and cannot look there."""
    look = ("find", str(hosts.folder), "-path", "*/spool/*", "-name", "*.dcm")
    assert hosts.network[LISTENER].run(*look).stdout
    assert not hosts.network[SCORE].run(*look).stdout
    assert not (hosts.data_dir_of(SCORE) / "spool").exists()
