"""What a caller sends never costs more memory than was allowed to it."""

import random
import tracemalloc
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from dicom_io.access import MAX_COMMAND_SET_BYTES, MAX_CONTROL_PDU_BYTES, Limits, Reason
from tests.servers.door import door, film
from tests.servers.rude import (
    ABORT,
    ACCEPT,
    RELEASE_RP,
    RELEASE_RQ,
    association_request,
    fragment,
    p_data,
    rude_peer,
    store_message,
    store_request,
)

MEGABYTE = 1 << 20
LONG = 16 * MEGABYTE  # of a PDU: what is limited here is something else


def test_our_maximum_length_is_announced() -> None:
    """PS3.8 D.1: sub-item 51H of the A-ASSOCIATE-AC."""
    with door(limits=Limits(pdu_bytes=123456)) as inside, rude_peer(inside.port) as peer:
        peer.send(association_request())
        kind, body = peer.receive()
        assert kind == ACCEPT
        assert b"\x51\x00\x00\x04" + (123456).to_bytes(4) in body
        peer.send(RELEASE_RQ)
        assert peer.receive()[0] == RELEASE_RP


@pytest.mark.parametrize("length", [MEGABYTE + 1, 0xFFFFFFFF])
def test_a_longer_pdu_ends_the_association_unread(length: int) -> None:
    """4 GiB are neither allocated nor read: the header is enough for an A-ABORT."""
    with door(limits=Limits(pdu_bytes=MEGABYTE)) as inside, rude_peer(inside.port) as peer, capture_logs() as lines:
        assert peer.associate() == ACCEPT
        tracemalloc.start()
        peer.send(b"\x04\x00" + length.to_bytes(4) + bytes(100))
        assert peer.receive()[0] == ABORT
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        inside.await_reason(Reason.PDU_LENGTH)
        assert peak < MEGABYTE
    assert [(line["event"], line["detail"]) for line in lines] == [("association-ended", f"{length} bytes")]


def test_a_request_as_long_as_a_film_is_not_read() -> None:
    """Before the association the limit is a small one: nobody needs more to introduce himself."""
    with door() as inside, rude_peer(inside.port) as peer:
        peer.send(b"\x01\x00" + (MAX_CONTROL_PDU_BYTES + 1).to_bytes(4))
        assert peer.receive()[0] == ABORT
        inside.await_reason(Reason.PDU_LENGTH)


def test_a_pdu_of_the_announced_length_is_taken() -> None:
    """To the byte."""
    message = store_message(film())
    data_length = int.from_bytes(message[2:6]) + 6
    with (
        door(limits=Limits(pdu_bytes=len(message) - data_length - 6)) as inside,
        rude_peer(inside.port) as peer,
    ):
        assert peer.associate() == ACCEPT
        peer.send(message)
        assert peer.status() == 0x0000
        peer.send(RELEASE_RQ)
        assert peer.receive()[0] == RELEASE_RP
    assert len(inside.taken) == 1


def test_a_promised_length_is_not_allocated() -> None:
    """Sixteen megabytes that never come cost one."""
    with door(limits=Limits(idle_seconds=0.3, pdu_bytes=LONG)) as inside, rude_peer(inside.port) as peer:
        assert peer.associate() == ACCEPT
        tracemalloc.start()
        peer.send(b"\x04\x00" + (16 * MEGABYTE).to_bytes(4) + bytes(1000))
        inside.await_reason(Reason.IDLE)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 2 * MEGABYTE


def test_an_object_above_the_limit_is_refused_while_it_comes() -> None:
    """100 MB against a limit of one: 0xC000, one line, bounded memory; the next object is taken."""
    piece = p_data(fragment(bytes(MEGABYTE), last=False))
    with door(limits=Limits(object_bytes=MEGABYTE, pdu_bytes=LONG)) as inside, rude_peer(inside.port) as peer:
        assert peer.associate() == ACCEPT
        tracemalloc.start()
        with capture_logs() as lines:
            peer.send(p_data(fragment(store_request("1.2.3"), command=True)))
            for _ in range(100):
                peer.send(piece)
            peer.send(p_data(fragment(b"end")))
            assert peer.status() == 0xC000
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        peer.send(store_message(film()))
        assert peer.status() == 0x0000
        peer.send(RELEASE_RQ)
        assert peer.receive()[0] == RELEASE_RP
    assert peak < 8 * MEGABYTE
    assert len(inside.taken) == 1
    (line,) = lines
    assert "max_object_bytes" in line["error"]
    assert inside.answers == {0xC000: 1, 0x0000: 1}


def test_the_next_object_waits_in_the_network() -> None:
    """A caller that does not wait for answers fills no queue of ours: one object is in memory, whatever it sends."""
    message = store_message(film(PixelData=bytes(MEGABYTE)))
    with door(limits=Limits(pdu_bytes=LONG)) as inside, rude_peer(inside.port) as peer:
        inside.open.clear()
        assert peer.associate() == ACCEPT
        tracemalloc.start()
        peer.socket.settimeout(0.5)
        with suppress(TimeoutError):
            for _ in range(100):
                peer.send(message)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        inside.open.set()
    assert peak < 8 * MEGABYTE


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(p_data(fragment(bytes(MAX_COMMAND_SET_BYTES + 1), command=True)), id="a long command set"),
        pytest.param(p_data(fragment(bytes(9000), command=True, last=False)) * 2, id="a long one in pieces"),
        pytest.param(p_data(fragment(b"data first")), id="data first"),
        pytest.param(p_data(fragment(store_request("1.2.3"), command=True)) * 2, id="two command sets"),
        pytest.param(
            p_data(fragment(store_request("1.2.3"), command=True), fragment(b"", context_id=3)), id="another context"
        ),
        pytest.param(p_data(fragment(b"garbage!" * 20, command=True)), id="garbage"),
        pytest.param(p_data(fragment(store_request("1.2.3", CommandField=0x7777), command=True)), id="no such command"),
        pytest.param(
            p_data(fragment(store_request("1.2.3", message_id=None), command=True, last=True), fragment(b"x")),
            id="no message id",
        ),
        pytest.param(p_data(fragment(store_request("1." + "2" * 70), command=True), fragment(b"x")), id="a long UID"),
        pytest.param(b"\x04\x00\x00\x00\x00\x06\x00\x00\x00\x01\x01\x03", id="no control header"),
        pytest.param(b"\x04\x00\x00\x00\x00\x06\x00\x00\x00\xff\x01\x03", id="an item past its PDU"),
        pytest.param(b"\x04\x00\x00\x00\x00\x03\x00\x00\x00", id="half an item header"),
        pytest.param(b"\x09\x00\x00\x00\x00\x00", id="no such PDU"),
        pytest.param(b"\x02\x00\x00\x00\x00\x04abcd", id="an answer to nothing"),
    ],
)
def test_what_is_no_message_ends_the_association(sent: bytes) -> None:
    """A-ABORT, one line that names the fault and no traceback; others are not touched."""
    with door(limits=Limits(pdu_bytes=LONG)) as inside, rude_peer(inside.port) as peer, capture_logs() as lines:
        assert peer.associate() == ACCEPT
        peer.send(sent)
        assert peer.receive()[0] == ABORT
        inside.await_reason(Reason.PROTOCOL)
    (line,) = lines
    assert (line["event"], line["reason"]) == ("association-ended", Reason.PROTOCOL)
    assert "exc_info" not in line
    assert inside.taken == []


def test_hundreds_of_broken_conversations_break_nothing() -> None:
    """Bytes of a real conversation, changed at random: no thread dies of it, none is left, and others are served."""
    chance = random.Random(5)  # noqa: S311 - the same breaks each time
    conversation = association_request() + store_message(film()) + RELEASE_RQ
    with door(limits=Limits(idle_seconds=2, object_bytes=MEGABYTE)) as inside:
        for _ in range(400):
            broken = bytearray(conversation[: chance.randrange(len(conversation))])
            for _ in range(chance.randrange(8) if broken else 0):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            with rude_peer(inside.port) as peer, suppress(ConnectionError):
                peer.send(bytes(broken))
        with rude_peer(inside.port) as peer:
            assert peer.associate() == ACCEPT
            peer.send(store_message(film()))
            assert peer.status() == 0x0000
            peer.send(RELEASE_RQ)
            assert peer.receive()[0] == RELEASE_RP
