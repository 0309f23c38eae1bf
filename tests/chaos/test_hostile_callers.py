"""Callers that abort, fall silent, come in crowds, or talk nonsense."""

import contextlib
import random
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import pytest

from dicom_io.phantom import phantom_dataset
from tests.chaos.conftest import StartChaos
from tests.chaos.films import Film, Films
from tests.chaos.footprint import Footprint
from tests.chaos.invariants import broken_files, every_study, rows_without_file
from tests.chaos.ledger import Ledger
from tests.chaos.mutations import mutate, pdus
from tests.chaos.pusher import push
from tests.chaos.report import FaultRow, Report
from tests.chaos.scale import Scale
from tests.chaos.service import ChaosService
from tests.chaos.tap import association_of_storescu
from tests.servers.ports import wait_until
from tests.servers.programs import require_program

AT_ONCE = 8
LONGEST_TALK_SECONDS = 5.0
MOST_THREADS = 10  # more than before, once every caller is gone
MOST_DESCRIPTORS = 20  # likewise; a database connection that stays open for the next caller has two
MOST_MEMORY = 60  # MiB more than before: buffers that the allocator keeps
LINGER_SECONDS = 60.0  # until the last of the callers is forgotten


@pytest.fixture(scope="module")
def listening(start_chaos: StartChaos) -> ChaosService:
    """The listener alone."""
    return start_chaos("listening", only=("listener",))


@pytest.fixture(scope="module")
def conversation(listening: ChaosService, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What storescu says when it stores a small film."""
    path = tmp_path_factory.mktemp("captured") / "film.dcm"
    phantom_dataset(1, kind="CR", rows=32, columns=32).save_as(path, enforce_file_format=True)
    said = association_of_storescu(require_program("storescu", "dcmtk"), listening.listener, path)
    assert [pdu[0] for pdu in pdus(said)] == [1, 4, 4, 5]  # A-ASSOCIATE-RQ, command, data set, A-RELEASE-RQ
    return said


def test_malformed_pdus_leave_nothing_behind(
    listening: ChaosService, conversation: bytes, films: Films, scale: Scale, dice: random.Random, report: Report
) -> None:
    """The process lives, takes good objects all the while, and holds no more than before."""
    fault = f"malformed PDUs (mutated from a captured association of storescu), {AT_ONCE} at a time"
    with report.row("malformed", fault, planned=scale.malformed) as row, unharmed(listening, films, row):
        while row.rounds < scale.malformed:
            broken = [mutate(conversation, dice) for _ in range(min(100, scale.malformed - row.rounds))]
            with ThreadPoolExecutor(AT_ONCE) as callers:
                list(callers.map(lambda said: talk(listening, said), broken))
            row.rounds += len(broken)
            require_service(listening, films.new())


def test_aborts_and_half_open_sockets_leave_nothing_behind(
    listening: ChaosService, conversation: bytes, films: Films, scale: Scale, dice: random.Random, report: Report
) -> None:
    """Callers that leave in the middle, by A-ABORT, reset or silence, take no place from the next one."""
    fault = "aborted associations, half-open sockets"
    with report.row("aborted", fault, planned=scale.departures) as row, unharmed(listening, films, row):
        while row.rounds < scale.departures:
            with half_open(listening, conversation, dice, scale.callers):
                for _ in range(scale.callers):
                    leave_in_the_middle(listening, conversation, dice)
                require_service(listening, films.new())
            row.rounds += scale.callers


def test_a_crowd_is_answered_to_the_last(listening: ChaosService, films: Films, scale: Scale, report: Report) -> None:
    """So many callers at once as are let in: each stores its film."""
    ledger = Ledger()
    fault = f"{scale.callers} callers at once"
    with report.row("crowd", fault, planned=1) as row, unharmed(listening, films, row):
        crowd = [films.new() for _ in range(scale.callers)]
        with ThreadPoolExecutor(scale.callers) as callers:
            list(callers.map(lambda film: push(listening.listener, [film], ledger), crowd))
        row.rounds, row.counts = 1, {"pushed": ledger.pushed, "accepted": len(ledger.accepted())}
        assert ledger.unanswered() == []


@contextlib.contextmanager
def unharmed(service: ChaosService, films: Films, row: FaultRow) -> Iterator[None]:
    """Check that the listener is the same process afterwards, holds no more than before, and has stored only wholes."""
    require_service(service, films.new())
    (listener,) = service.parts["listener"].processes()
    before = Footprint.of(listener)
    yield
    wait_until(lambda: _is_calm(listener, before), "the last caller forgotten", seconds=LINGER_SECONDS)
    require_service(service, films.new())
    assert service.parts["listener"].processes() == [listener]
    grown = before.grown_by(Footprint.of(listener))
    row.notes.update({f"more_{key}": value for key, value in asdict(grown).items()})
    assert grown.resident <= MOST_MEMORY
    assert list(broken_files(service)) == []
    assert list(rows_without_file(service, every_study(service))) == []


def _is_calm(listener: int, before: Footprint) -> bool:
    grown = before.grown_by(Footprint.of(listener))
    return grown.threads <= MOST_THREADS and grown.descriptors <= MOST_DESCRIPTORS


def require_service(service: ChaosService, film: Film) -> None:
    """Check that a good caller is served now."""
    ledger = Ledger()
    push(service.listener, [film], ledger)
    assert ledger.accepted() == [film]


def talk(service: ChaosService, said: bytes) -> None:
    """Say something and listen until the service hangs up, or for a while."""
    address = (service.listener.host, service.port)
    # The service may hang up in the middle.
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=LONGEST_TALK_SECONDS) as line:
        line.sendall(said)
        line.shutdown(socket.SHUT_WR)
        while line.recv(1 << 16):
            pass


@contextlib.contextmanager
def half_open(service: ChaosService, conversation: bytes, dice: random.Random, count: int) -> Iterator[None]:
    """Hold connections on which nothing, or only a part of an A-ASSOCIATE-RQ, was ever said."""
    request = len(pdus(conversation)[0])
    with contextlib.ExitStack() as lines:
        for _ in range(count):
            line = lines.enter_context(socket.create_connection((service.listener.host, service.port)))
            line.sendall(conversation[: dice.choice((0, 3, dice.randrange(request)))])
        yield


def leave_in_the_middle(service: ChaosService, conversation: bytes, dice: random.Random) -> None:
    """Say a part of a good conversation, then go: politely, at once, or by resetting the connection."""
    with socket.create_connection((service.listener.host, service.port), timeout=LONGEST_TALK_SECONDS) as line:
        line.sendall(conversation[: dice.choice((0, 3, 100, dice.randrange(len(conversation))))])
        way = dice.choice(("abort", "close", "reset"))
        if way == "abort":
            line.sendall(bytes([7, 0, 0, 0, 0, 4, 0, 0, 0, 0]))  # A-ABORT (PS3.8 9.3.8)
        if way == "reset":
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
