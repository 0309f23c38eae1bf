"""Who is let in, and how many at a time."""

import socket
from contextlib import ExitStack
from ipaddress import ip_network

import pytest
from structlog.testing import capture_logs

from dicom_io import connections, upper_layer
from dicom_io.access import Access, Limits, Reason
from tests.servers.door import dcmtk, door, film
from tests.servers.rude import ACCEPT, RELEASE_RP, RELEASE_RQ, association_request, rude_peer, store_message

# A-ASSOCIATE-RJ (PS3.8 9.3.4): reserved, result, source, reason.
LOCAL_LIMIT = b"\x00\x02\x03\x02"


@pytest.mark.parametrize(
    ("caller", "called", "answer", "reason"),
    [
        ("STRANGER", "CXRTRIAGE", "Calling AE Title Not Recognized", Reason.CALLING_AE_TITLE),
        ("PACS1", "SOMEBODY", "Called AE Title Not Recognized", Reason.CALLED_AE_TITLE),
    ],
)
def test_a_wrong_title_is_rejected_for_good(caller: str, called: str, answer: str, reason: Reason) -> None:
    """DCMTK is told which one it was; one line says so, and the metric counts it."""
    with door(access=Access(callers=["PACS1"], called="CXRTRIAGE")) as inside, capture_logs() as lines:
        refused = dcmtk("echoscu", inside.port, caller=caller, called=called)
        assert refused.returncode != 0
        assert "Rejected Permanent" in refused.stdout + refused.stderr
        assert answer in refused.stdout + refused.stderr
        assert dcmtk("echoscu", inside.port).returncode == 0
    assert inside.reasons == {reason: 1}
    (line,) = [line for line in lines if line["event"] == "association-refused"]
    assert (line["reason"], line["calling_ae_title"], line["address"]) == (reason, caller, "127.0.0.1")


def test_titles_filled_up_with_nul_are_the_same_titles() -> None:
    """Senders in C forget the spaces; they would be turned away for good, whatever the settings say."""
    request = association_request("PACS1", "CXRTRIAGE").replace(b"PACS1" + b" " * 11, b"PACS1" + b"\0" * 11)
    request = request.replace(b"CXRTRIAGE" + b" " * 7, b"CXRTRIAGE" + b"\0" * 7)
    with door(access=Access(callers=["PACS1"], called="CXRTRIAGE")) as inside, rude_peer(inside.port) as peer:
        peer.send(request)
        assert peer.receive()[0] == ACCEPT
        peer.send(store_message(film()))
        assert peer.status() == 0
        peer.send(RELEASE_RQ)
        assert peer.receive()[0] == RELEASE_RP
    assert [received.calling_ae_title for received in inside.received] == ["PACS1"]


def test_an_address_outside_the_networks_is_closed_before_it_is_read() -> None:
    """Not one byte is answered, and no thread is started for it."""
    access = Access(networks=[ip_network("10.0.0.0/8")])
    with door(access=access) as inside, capture_logs() as lines, rude_peer(inside.port) as peer:
        assert peer.is_closed()
    assert inside.reasons == {Reason.ADDRESS: 1}
    assert [line["event"] for line in lines] == ["association-refused"]


def test_one_association_too_many_may_try_again_later() -> None:
    """Transient, local limit exceeded (PS3.8 9.3.4); when another has ended, there is room."""
    with door(limits=Limits(associations=2)) as inside, ExitStack() as peers:
        first, second, third = (peers.enter_context(rude_peer(inside.port)) for _ in range(3))
        assert [first.associate(), second.associate()] == [ACCEPT, ACCEPT]
        third.send(association_request())
        assert third.receive() == (0x03, LOCAL_LIMIT)
        assert "Rejected Transient" in (answer := dcmtk("echoscu", inside.port)).stdout + answer.stderr
        first.send(RELEASE_RQ)
        assert first.receive()[0] == RELEASE_RP
        assert first.is_closed()
        assert dcmtk("echoscu", inside.port).returncode == 0
        second.send(RELEASE_RQ)
        assert second.receive()[0] == RELEASE_RP
    assert inside.reasons == {Reason.TOO_MANY: 2}


def test_silent_connections_take_no_association(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number of them: they wait in a room of their own, where the oldest gives way; callers go through at once."""
    monkeypatch.setattr(connections, "WAITING_ROOM", 8)
    with door(limits=Limits(associations=2)) as inside, ExitStack() as peers:
        silent = [peers.enter_context(rude_peer(inside.port)) for _ in range(20)]
        for _ in range(3):
            assert dcmtk("echoscu", inside.port).returncode == 0
        inside.await_reason(Reason.NO_ROOM, 12)
        assert all(peer.is_closed() for peer in silent[:12])
        assert not silent[-1].is_closed(0.2)
        peers.close()
    assert set(inside.reasons) == {Reason.NO_ROOM}


def test_64_callers_at_once_are_all_served() -> None:
    """None is told to come back, none waits for a repeated SYN."""
    with door() as inside, ExitStack() as peers:
        callers = [peers.enter_context(rude_peer(inside.port)) for _ in range(64)]
        for caller in callers:
            caller.send(association_request())
        assert [caller.receive()[0] for caller in callers] == [ACCEPT] * 64
        for caller in callers:
            caller.send(RELEASE_RQ)
        assert [caller.receive()[0] for caller in callers] == [RELEASE_RP] * 64
    assert not inside.reasons


def test_a_port_that_is_only_knocked_at_costs_nothing() -> None:
    """A load balancer's probe: its place is free at once, not after the time for a request."""
    with door(limits=Limits(associations=1)) as inside:
        for _ in range(20):
            socket.create_connection(("127.0.0.1", inside.port)).close()
        assert dcmtk("echoscu", inside.port).returncode == 0
    assert not inside.reasons


def test_a_connection_that_no_thread_can_be_started_for_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system is out of threads: the peer is told by a closed connection, and the place is free again."""

    def start(_provider: object) -> None:
        raise RuntimeError("can't start new thread")

    with door(limits=Limits(associations=1)) as inside:
        with monkeypatch.context() as exhausted, rude_peer(inside.port) as peer:
            exhausted.setattr(upper_layer.GuardedProvider, "start", start)
            assert peer.is_closed()
        assert dcmtk("echoscu", inside.port).returncode == 0
    assert set(inside.reasons) == {Reason.PROTOCOL}
