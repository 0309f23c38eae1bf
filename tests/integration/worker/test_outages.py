"""Destinations that are down: they cost little, hold up nobody, and get everything in order when they are back."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from dicom_io.header import encode_header
from tests.integration.worker.conftest import Clock
from tests.results import film
from tests.servers.ports import LOOPBACK, wait_until
from tests.studies import FOLDER, NOW, SECOND, incoming, receive, result, say
from worker import delivering
from worker.db import Database
from worker.delivering import Deliverer
from worker.destination_tables import DestinationOutage
from worker.destinations import DicomDestination, FolderDestination
from worker.domain import ScreeningResult
from worker.errors import DeliveryRetryError, DestinationDownError
from worker.receipt import Receipt
from worker.repository.model_versions import RegisteredModel
from worker.repository.outages import LONGEST_PAUSE, DestinationView, destinations
from worker.service import Service, utc_now
from worker.tables import Delivery, Event, Image
from worker.tasks.drain import attempt

TIMEOUT_SECONDS = 0.5


def fill(database: Database, champion: RegisteredModel, count: int, *to: str, flagged: tuple[int, ...] = ()) -> None:
    """Say one result for each of so many studies, each of one film with a whole header."""
    header = encode_header(film("2.25.11"))
    for number in range(1, count + 1):
        study = f"2.25.{number}"
        receive(database, incoming(study=study))
        with database.begin() as session:
            session.execute(update(Image).values(header=header))
        say(database, champion, result(study, flagged=number in flagged), to=to)


def stand(database: Database, name: str) -> DestinationView:
    """How a destination stands."""
    with database.read() as session:
        return next(count for count in destinations(session) if count.destination == name)


class Peer:
    """A destination that the test switches on and off; `sent` lists the studies it was sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.down = True
        self.poison: str | None = None
        self.tries = 0
        self.sent: list[str | None] = []
        monkeypatch.setattr(delivering, "send", self.send)

    def send(self, result: ScreeningResult, _destination: object, **_: object) -> Receipt:
        """Take a result, or be down for all, or fall over one."""
        self.tries += 1
        if self.down or result.flag.study_instance_uid == self.poison:
            raise DestinationDownError("down")
        self.sent.append(result.flag.study_instance_uid)
        return Receipt("taken")


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Peer:
    """The destination `flags`, down."""
    return Peer(monkeypatch)


@pytest.fixture
def deliverer(service: Callable[..., Service]) -> Deliverer:
    """Sends to it."""
    return Deliverer(service(destinations=(FOLDER,), retry_seconds=2, retry_max_seconds=300))


def drain(deliverer: Deliverer) -> int:
    """Deliver until nothing is due; returns how many steps found work."""
    steps = 0
    while deliverer.deliver_next():
        steps += 1
    return steps


def test_a_destination_that_is_down_costs_one_attempt_per_pause_whatever_waits(
    database: Database, champion: RegisteredModel, deliverer: Deliverer, peer: Peer, clock: Clock
) -> None:
    """The first failure may be of the one result; from the second on all wait, for up to half a minute each time."""
    fill(database, champion, 20, "flags")
    assert drain(deliverer) == 2
    for _ in range(30):
        clock.advance(seconds=1)
        drain(deliverer)
    assert peer.tries < 10
    paused = stand(database, "flags")
    assert (paused.waiting, paused.dead, paused.failures_in_a_row) == (20, 0, peer.tries)
    assert paused.paused_until is not None
    assert paused.paused_until <= clock() + LONGEST_PAUSE


def test_when_it_is_back_everything_arrives_in_the_order_of_urgency(
    database: Database, champion: RegisteredModel, deliverer: Deliverer, peer: Peer, clock: Clock
) -> None:
    """Once each, within the longest pause; the flagged ones first, although they were the ones that were tried."""
    fill(database, champion, 12, "flags", flagged=(4, 8, 11))
    for _ in range(60):
        clock.advance(seconds=5)
        drain(deliverer)
    peer.down = False
    for _ in range(int(LONGEST_PAUSE / SECOND) + 3):
        clock.advance(seconds=1)
        drain(deliverer)
    assert set(peer.sent[:3]) == {"2.25.4", "2.25.8", "2.25.11"}
    assert sorted(peer.sent[3:], key=lambda uid: int(str(uid)[5:])) == [
        f"2.25.{n}" for n in range(1, 13) if n not in (4, 8, 11)
    ]
    assert stand(database, "flags").failures_in_a_row is None


def test_a_result_that_brings_its_destination_down_does_not_hold_up_the_others(
    database: Database, champion: RegisteredModel, deliverer: Deliverer, peer: Peer, clock: Clock
) -> None:
    """The peer aborts whenever it sees one: the next one, tried in its place, ends the outage."""
    fill(database, champion, 4, "flags", flagged=(1,))
    peer.down, peer.poison = False, "2.25.1"
    assert drain(deliverer) == 4
    assert sorted(map(str, peer.sent)) == ["2.25.2", "2.25.3", "2.25.4"]
    for _ in range(60):  # nothing else comes for a long time, so that only it is tried
        clock.advance(seconds=15)
        drain(deliverer)
    receive(database, incoming(study="2.25.5"))
    say(database, champion, result("2.25.5"))
    for _ in range(10):
        clock.advance(seconds=7)
        drain(deliverer)
    assert peer.sent[-1] == "2.25.5"


def test_a_failure_of_one_result_pauses_nothing(
    database: Database,
    champion: RegisteredModel,
    deliverer: Deliverer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The destination answered: it may take the next one."""
    fill(database, champion, 5, "flags")

    def send(*_: object, **__: object) -> Receipt:
        raise DeliveryRetryError("try that one later")

    monkeypatch.setattr(delivering, "send", send)
    assert drain(deliverer) == 5
    with database.read() as session:
        assert session.scalars(select(DestinationOutage)).all() == []


def test_a_retry_is_recorded_once_per_error(
    database: Database, champion: RegisteredModel, deliverer: Deliverer, peer: Peer, clock: Clock
) -> None:
    """Ten thousand attempts in a month are not ten thousand lines in the audit trail."""
    fill(database, champion, 1, "flags")
    for _ in range(20):
        clock.advance(seconds=5)
        drain(deliverer)
    assert peer.tries > 3
    with database.read() as session:
        told = session.scalars(select(Event).where(Event.kind == "delivery-retry")).all()
    assert [(event.detail["destination"], event.detail["answer"]) for event in told] == [("flags", "down")]


def test_a_pause_from_a_clock_that_was_set_back_does_not_hold(
    database: Database, champion: RegisteredModel, deliverer: Deliverer, peer: Peer, clock: Clock
) -> None:
    """Else the destination would get nothing for an hour."""
    fill(database, champion, 3, "flags")
    drain(deliverer)
    peer.down = False
    clock.advance(hours=-1)
    drain(deliverer)
    assert len(peer.sent) == 3


@contextmanager
def black_hole() -> Iterator[tuple[int, list[float]]]:
    """A port that takes connections and never says a word; when each came is listed."""
    came: list[float] = []
    held: list[socket.socket] = []
    with socket.create_server((LOOPBACK, 0), backlog=50) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                came.append(time.monotonic())
                held.append(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1], came
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for connection in held:
                connection.close()
            thread.join(10)


def test_a_destination_that_never_answers_costs_the_others_no_time(
    database: Database, champion: RegisteredModel, service: Callable[..., Service], tmp_path: Path
) -> None:
    """Eight senders, ten results for each of a silent PACS and a folder: the folder has all at once."""
    with black_hole() as (port, came):
        pacs = DicomDestination(
            kind="dicom", name="pacs", ae_title="HOLE", host=LOOPBACK, port=port, timeout_seconds=TIMEOUT_SECONDS
        )
        folder = FolderDestination(kind="folder", name="flags", path=tmp_path / "flags")
        running = replace(service(destinations=(pacs, folder), retry_seconds=30), now=utc_now)
        fill(database, champion, 10, "pacs", "flags")
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                if not attempt(Deliverer(running).deliver_next):
                    stop.wait(0.02)

        with ThreadPoolExecutor(8) as threads:
            for _ in range(8):
                threads.submit(work)
            try:
                wait_until(lambda: stand(database, "flags").waiting == 0, "the folder having all", seconds=20)
                tried_by_then = len(came)
            finally:
                stop.set()
    assert tried_by_then <= 3
    assert stand(database, "pacs").waiting == 10
    with database.read() as session:
        assert max(session.scalars(select(Delivery.attempts).where(Delivery.destination == "flags"))) == 1


def test_a_dead_destinations_backlog_makes_no_claim_slow(
    database: Database, champion: RegisteredModel, deliverer: Deliverer, peer: Peer
) -> None:
    """With thousands of rows for one that is down, the next row for another is still found at once."""
    fill(database, champion, 1, "flags")
    with database.begin() as session:
        first = session.scalars(select(Delivery)).one()
        values = {"result_id": first.result_id, "state": "pending", "created_at": NOW, "urgency": 30, "attempts": 0}
        session.add_all([Delivery(destination=f"dead{n % 3000}", **values) for n in range(3000)])
        until = NOW + timedelta(seconds=30)
        session.add_all(
            [DestinationOutage(destination=f"dead{n}", failures=2, paused_until=until) for n in range(3000)]
        )
    peer.down = False
    started = time.monotonic()
    assert deliverer.deliver_next()
    assert time.monotonic() - started < 10
    assert len(peer.sent) == 1
