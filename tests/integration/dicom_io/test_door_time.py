"""Every connection ends, whatever it does or does not do; thread and descriptor are free afterwards (see `door`)."""

import time

import pytest
from structlog.testing import capture_logs

from dicom_io import upper_layer
from dicom_io.access import Limits, Reason
from dicom_io.scp import StorageSCP
from dicom_io.types import ApplicationEntity
from tests.servers.door import door, film
from tests.servers.rude import (
    ABORT,
    ABORT_PDU,
    ACCEPT,
    RELEASE_RP,
    RELEASE_RQ,
    RudePeer,
    association_request,
    fragment,
    p_data,
    rude_peer,
    store_message,
    store_request,
)

IMPATIENT = Limits(idle_seconds=0.3)


@pytest.mark.parametrize(
    "beginning",
    [b"", b"\x01", b"\x01\x00" + (1 << 17).to_bytes(4), association_request()[:50]],
    ids=["nothing", "one byte", "a header", "half a request"],
)
def test_a_connection_without_a_request_is_ended(beginning: bytes) -> None:
    """A peer that connects and falls silent gives its place back."""
    with door(limits=IMPATIENT) as inside, rude_peer(inside.port) as peer, capture_logs() as lines:
        peer.send(beginning)
        assert peer.is_closed()
        inside.await_reason(Reason.NO_REQUEST)
    assert [(line["event"], line["reason"]) for line in lines] == [("association-refused", Reason.NO_REQUEST)]


def test_a_request_that_drips_in_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte before every idle limit does not keep a connection: the whole request has a time of its own."""
    monkeypatch.setattr(upper_layer, "REQUEST_SECONDS", 0.6)
    with door(limits=Limits(idle_seconds=5)) as inside, rude_peer(inside.port) as peer:
        assert _drip(peer, association_request()) < 3
        inside.await_reason(Reason.NO_REQUEST)


@pytest.mark.parametrize(
    "then",
    [b"", b"\x04\x00", b"\x04\x00" + (1 << 16).to_bytes(4) + b"half", p_data(fragment(b"half", last=False))],
    ids=["nothing", "half a header", "half a PDU", "half a message"],
)
def test_a_silent_association_is_ended(then: bytes) -> None:
    """Between messages, inside a PDU and inside a message; with an A-ABORT, one line and one count."""
    with door(limits=IMPATIENT) as inside, rude_peer(inside.port) as peer, capture_logs() as lines:
        assert peer.associate() == ACCEPT
        peer.send(p_data(fragment(store_request("1.2.3"), command=True)) if then[:1] == b"\x04" and then[2:] else b"")
        peer.send(then)
        assert peer.receive()[0] == ABORT
        assert peer.is_closed()
        inside.await_reason(Reason.IDLE)
    assert [(line["event"], line["reason"]) for line in lines] == [("association-ended", Reason.IDLE)]


def test_an_association_that_never_rests_is_ended_too() -> None:
    """A byte now and then for ever: the total time counts, inside a PDU as well."""
    with door(limits=Limits(idle_seconds=5, association_seconds=0.6)) as inside, rude_peer(inside.port) as peer:
        assert peer.associate() == ACCEPT
        assert _drip(peer, b"\x04\x00" + (1 << 16).to_bytes(4) + bytes(1 << 16)) < 3
        inside.await_reason(Reason.TOO_LONG)


def test_a_caller_that_waits_for_us_is_not_idle() -> None:
    """A slow disk or database is our fault: the object is answered, and the association goes on."""
    message = store_message(film())
    with door(limits=Limits(idle_seconds=1)) as inside, rude_peer(inside.port) as peer:
        inside.open.clear()
        assert peer.associate() == ACCEPT
        peer.send(message)
        time.sleep(1.5)  # what must not be counted
        inside.open.set()
        assert peer.status() == 0x0000
        peer.send(RELEASE_RQ)
        assert peer.receive()[0] == RELEASE_RP
    assert not inside.reasons


def test_nothing_depends_on_the_clock_of_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timers of pynetdicom read a clock that can be set: an hour forward ends nothing, back keeps nothing."""
    shift = [0.0]
    real = time.time
    monkeypatch.setattr("pynetdicom.timer.time.time", lambda: real() + shift[0])
    message = store_message(film())
    with door(limits=Limits(idle_seconds=2)) as inside, rude_peer(inside.port) as peer:
        assert peer.associate() == ACCEPT
        shift[0] = 3600.0
        peer.send(message)
        assert peer.status() == 0
        shift[0] = -3600.0
        inside.await_reason(Reason.IDLE)


@pytest.mark.parametrize("end", [ABORT_PDU, b""], ids=["A-ABORT", "closed"])
def test_a_caller_that_leaves_inside_an_object_leaves_nothing(end: bytes) -> None:
    """Half an object is no object: nothing is handed on, one line says that it was aborted."""
    command = p_data(fragment(store_request("1.2.3"), command=True))
    with door() as inside, capture_logs() as lines:
        with rude_peer(inside.port) as peer:
            assert peer.associate() == ACCEPT
            peer.send(command, p_data(fragment(b"half" * 1000, last=False)), end)
        inside.await_reason(Reason.ABORTED)
    assert inside.taken == []
    assert [(line["event"], line["reason"]) for line in lines] == [("association-ended", Reason.ABORTED)]


def test_half_open_lines_do_not_add_up() -> None:
    """200 connections that break off at every place: as many threads and descriptors as before (see `door`)."""
    pieces = [b"", b"\x01", association_request()[:30], association_request()]
    with door() as inside:
        for number in range(200):
            with rude_peer(inside.port) as peer:
                peer.send(pieces[number % 4])


def test_the_listener_stops_at_once_with_callers_inside() -> None:
    """Silent connections and open associations do not hold up a stop, and are told of it."""
    provider = StorageSCP(ApplicationEntity("CXRTRIAGE", "127.0.0.1", 0), lambda _: None)
    with rude_peer(provider.port) as silent, rude_peer(provider.port) as caller:
        with provider:
            assert caller.associate() == ACCEPT
            started = time.monotonic()
        assert time.monotonic() - started < Limits().idle_seconds / 2
        assert [silent.receive()[0], caller.receive()[0]] == [ABORT, ABORT]
        assert silent.is_closed()
        assert caller.is_closed()


def _drip(peer: RudePeer, data: bytes) -> float:
    """Send a byte every 50 ms until the connection ends; how long it lived, seconds."""
    started = time.monotonic()
    peer.socket.settimeout(0.05)
    for byte in data:
        try:
            peer.socket.send(bytes([byte]))
            if not peer.socket.recv(100):
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    return time.monotonic() - started
