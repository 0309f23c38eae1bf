"""C-STORE requests that no good sender makes: each has a named answer, and the association goes on."""

from collections.abc import Iterator

import pytest
from pydicom import Dataset
from structlog.testing import capture_logs

from tests.servers.door import Door, door, film
from tests.servers.rude import (
    ACCEPT,
    CR,
    RELEASE_RP,
    RELEASE_RQ,
    RudePeer,
    fragment,
    p_data,
    rude_peer,
    store_message,
    store_request,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
NO_DATA_SET = 0x0101
FILM = film()
DATA = store_message(FILM)
DATA = DATA[int.from_bytes(DATA[2:6]) + 6 :]  # the second PDU
UID = str(FILM.SOPInstanceUID)


@pytest.fixture
def inside() -> Iterator[Door]:
    """A provider that takes everything."""
    with door() as provider:
        yield provider


@pytest.fixture
def peer(inside: Door) -> Iterator[RudePeer]:
    """An association with it that must still be well at the end."""
    with rude_peer(inside.port) as caller:
        assert caller.associate() == ACCEPT
        yield caller
        caller.send(RELEASE_RQ)
        assert caller.receive()[0] == RELEASE_RP


def request(**elements: object) -> bytes:
    """The command of the film, with these elements instead."""
    uid = elements.pop("AffectedSOPInstanceUID", UID)
    return p_data(fragment(store_request(uid, **elements), command=True))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(request() + p_data(fragment(b"")), 0xC000, id="a data set of no length"),
        pytest.param(request(CommandDataSetType=NO_DATA_SET), 0xC000, id="no data set"),
        pytest.param(request(AffectedSOPInstanceUID=None) + DATA, 0xC000, id="no instance UID"),
        pytest.param(request(AffectedSOPInstanceUID="") + DATA, 0xC000, id="an empty instance UID"),
        pytest.param(request(AffectedSOPClassUID=None) + DATA, 0xC000, id="no class UID"),
        pytest.param(request(AffectedSOPInstanceUID="1.2.3") + DATA, 0xA900, id="another instance"),
        pytest.param(request(AffectedSOPInstanceUID="not a UID") + DATA, 0xC000, id="a UID that is none"),
        pytest.param(request(AffectedSOPClassUID=CT) + DATA, 0x0122, id="a class that was not negotiated"),
        pytest.param(request() + p_data(fragment(b"\x08\x00\x05\x00CS\xff\xffx")), 0xC000, id="a cut data set"),
        pytest.param(request() + p_data(fragment(b"GIF89a" * 50)), 0xC000, id="another file"),
    ],
)
def test_an_odd_request_has_a_named_answer(inside: Door, peer: RudePeer, sent: bytes, status: int) -> None:
    """One answer, one line, one count, nothing handed on; the next film of the association is taken."""
    with capture_logs() as lines:
        peer.send(sent)
        assert peer.status() == status
    (line,) = lines
    assert (line["event"], line["status"]) == ("store-refused", f"0x{status:04X}")
    assert "exc_info" not in line
    assert inside.taken == []
    peer.send(request() + DATA)
    assert peer.status() == 0x0000
    assert inside.answers == {status: 1, 0x0000: 1}


def test_of_several_uids_the_first_counts(inside: Door, peer: RudePeer) -> None:
    """As pynetdicom reads the request; the data set decides whether that is right."""
    peer.send(
        request(AffectedSOPInstanceUID=[UID, "1.2.3"]) + DATA, request(AffectedSOPInstanceUID=["1.2.3", UID]) + DATA
    )
    assert [peer.status(), peer.status()] == [0x0000, 0xA900]


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_several_uids_in_a_data_set_are_no_uid(inside: Door, peer: RudePeer, keyword: str) -> None:
    """0xC000: whose film it is cannot be known."""
    dataset = film()
    setattr(dataset, keyword, ["1.2.3", "1.2.4"])
    message = store_message(dataset)
    uid = "1.2.3" if keyword == "SOPInstanceUID" else str(dataset.SOPInstanceUID)
    peer.send(request(AffectedSOPInstanceUID=uid) + message[int.from_bytes(message[2:6]) + 6 :])
    assert peer.status() == 0xC000
    assert inside.taken == []


def test_the_same_message_id_twice_is_two_objects(inside: Door, peer: RudePeer) -> None:
    """Without waiting for the first answer: each has its own, in order."""
    films: list[Dataset] = [film(), film(SOPInstanceUID=f"{UID[:-1]}1")]
    peer.send(*(store_message(dataset, message_id=7) for dataset in films))
    assert [peer.status(), peer.status()] == [0x0000, 0x0000]
    assert [r.identification.reference.sop_instance_uid for r in inside.received] == [
        str(dataset.SOPInstanceUID) for dataset in films
    ]


def test_a_message_may_come_in_any_pieces(inside: Door, peer: RudePeer) -> None:
    """Command and data in one P-DATA-TF, empty pieces, single bytes, and two messages in one P-DATA-TF (PS3.8 E)."""
    command, data = store_request(UID), DATA[12:]
    peer.send(p_data(fragment(command, command=True), fragment(data)))
    assert peer.status() == 0x0000
    bytewise = [fragment(data[n : n + 1], last=False) for n in range(50)]
    peer.send(
        p_data(fragment(command[:9], command=True, last=False)),
        p_data(fragment(command[9:], command=True), *bytewise, fragment(b"", last=False)),
        p_data(fragment(data[50:], last=False), fragment(b"")),
    )
    assert peer.status() == 0x0000
    peer.send(p_data(*(fragment(command, command=True), fragment(data)) * 2))
    assert [peer.status(), peer.status()] == [0x0000, 0x0000]
    assert inside.taken == [data] * 4


def test_no_line_says_what_is_in_the_film(inside: Door, peer: RudePeer) -> None:
    """Refused or taken: neither name nor birth date nor ID of the patient stands in a log line."""
    dataset = film(PatientName="Secret^Name", PatientID="SECRETID", PatientBirthDate="19010203")
    message = store_message(dataset)
    data = message[int.from_bytes(message[2:6]) + 6 :]
    with capture_logs() as lines:
        peer.send(request(AffectedSOPInstanceUID="1.2.3") + data, request(AffectedSOPInstanceUID="Secret^Name") + data)
        assert [peer.status(), peer.status()] == [0xA900, 0xC000]
    assert len(lines) == 2
    assert not any(secret in str(lines) for secret in ("Secret", "SECRETID", "19010203"))
    assert CR not in str(lines)
