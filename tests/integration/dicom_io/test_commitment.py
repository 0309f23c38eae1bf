"""Storage commitment on the network: what the provider answers to requests, and what becomes of its reports."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from pydicom import Dataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from dicom_io import commitment
from dicom_io.commitment import CommitmentRequest, ObjectReference
from dicom_io.commitment_report import CommitmentReport, FailureReason, report_commitment
from dicom_io.errors import CommitmentRequestError, OutOfResourcesError, PeerUnreachableError, ReportRefusedError
from dicom_io.scp import StorageSCP
from dicom_io.types import ApplicationEntity
from tests.commitment_client import CALLER, Ear, action_information, listening, request_commitment
from tests.servers.ports import LOOPBACK, free_port
from worker.sections import PeerSettings

ADDRESS = ApplicationEntity("CXRTRIAGE", LOOPBACK, 0)
CR = ComputedRadiographyImageStorage
FILM = (CR, "2.25.11")
UNCLOSED = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")


@dataclass
class Desk:
    """Takes every request, or raises `fault`."""

    fault: Exception | None = None
    taken: list[CommitmentRequest] = field(default_factory=list)

    def __call__(self, request: CommitmentRequest) -> None:
        """Take a request."""
        if self.fault is not None:
            raise self.fault
        self.taken.append(request)


@pytest.fixture(scope="module")
def _provider() -> Iterator[tuple[StorageSCP, Desk]]:
    desk = Desk()
    with StorageSCP(ADDRESS, lambda _: None, commit=desk) as scp:
        yield scp, desk


@pytest.fixture
def desk(_provider: tuple[StorageSCP, Desk]) -> Desk:
    """What stands behind the provider."""
    _provider[1].fault = None
    _provider[1].taken.clear()
    return _provider[1]


@pytest.fixture
def port(_provider: tuple[StorageSCP, Desk], desk: Desk) -> int:
    """Where the provider listens."""
    return _provider[0].port


def test_a_request_is_read_and_handed_on(port: int, desk: Desk) -> None:
    """Who asks, under which Transaction UID, for which objects, each once."""
    assert request_commitment(port, action_information([FILM, (CR, "2.25.12"), FILM])) == 0x0000
    references = (ObjectReference(*FILM), ObjectReference(CR, "2.25.12"))
    assert desk.taken == [CommitmentRequest(CALLER, "2.25.7", references)]


def test_it_is_off_unless_somebody_takes_the_requests() -> None:
    """The class is refused at negotiation, and a request that comes over another class's context is, too."""
    with StorageSCP(ADDRESS, lambda _: None) as scp:
        assert request_commitment(scp.port, action_information([FILM])) is None
        assert _over_a_film_context(scp.port) != 0x0000


def _over_a_film_context(port: int) -> int | None:
    entity = AE(ae_title=CALLER)
    entity.add_requested_context(CR, ExplicitVRLittleEndian)
    association = entity.associate(LOOPBACK, port)
    answer, _ = association.send_n_action(
        action_information([FILM]), 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance, meta_uid=CR
    )
    association.release()
    return int(answer.Status)


def test_a_request_in_the_context_of_films_is_none(port: int, desk: Desk) -> None:
    """It was not negotiated."""
    assert (_over_a_film_context(port), desk.taken) == (0x0118, [])


@pytest.mark.parametrize(
    ("information", "options", "status"),
    [
        pytest.param(action_information([FILM]), {"action_type": 2}, 0x0123, id="another-action"),
        pytest.param(action_information([FILM]), {"instance_uid": "1.2.3"}, 0x0112, id="another-instance"),
        pytest.param(None, {}, 0x0115, id="no-information"),
        pytest.param(action_information(None), {}, 0x0115, id="no-references"),
        pytest.param(action_information([]), {}, 0x0115, id="empty-references"),
        pytest.param(action_information([FILM], transaction_uid=None), {}, 0x0115, id="no-transaction"),
        pytest.param(action_information([FILM], transaction_uid=""), {}, 0x0115, id="empty-transaction"),
        pytest.param(action_information([(CR, "")]), {}, 0x0115, id="empty-instance"),
        pytest.param(action_information([("", "2.25.11")]), {}, 0x0115, id="empty-class"),
    ],
)
def test_a_request_that_is_none_is_refused(
    port: int,
    desk: Desk,
    information: Dataset | None,
    options: dict[str, object],
    status: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each fault has its status and a line in the log, and nobody takes anything."""
    assert request_commitment(port, information, **options) == status  # type: ignore[arg-type]
    assert desk.taken == []
    assert f"0x{status:04X}" in capsys.readouterr().out


@pytest.mark.parametrize("raw", [b"2.25." + b"1" * 60, b"2.25.1\\2.25.2", b"2.25.1\x1b1", b"2.25.\xe4 "])
def test_what_is_no_uid_is_refused(port: int, desk: Desk, raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than 64 characters, two values, a control character, not ASCII."""
    value = raw + b"\0" * (len(raw) % 2)
    head = b"\x08\x00\x95\x11" + len(value).to_bytes(4, "little")
    assert _send_raw(port, head + value + _sequence(), monkeypatch) == 0x0115
    assert desk.taken == []


def _sequence() -> bytes:
    item = b"\x08\x00\x50\x11" + (26).to_bytes(4, "little") + b"1.2.840.10008.5.1.4.1.1.1\0"
    item += b"\x08\x00\x55\x11" + (8).to_bytes(4, "little") + b"2.25.11\0"
    item = b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item
    return b"\x08\x00\x99\x11" + len(item).to_bytes(4, "little") + item


def _send_raw(port: int, raw: bytes, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """Ask with these bytes as Action Information, in implicit VR."""
    monkeypatch.setattr("pynetdicom.association.encode", lambda *_: raw)
    return request_commitment(port, Dataset())


def test_information_that_cannot_be_parsed_is_refused(port: int, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off at any place; whole, it is taken."""
    whole = b"\x08\x00\x95\x11\x08\x00\x00\x002.25.7\0\0" + _sequence()
    assert {_send_raw(port, whole[:length], monkeypatch) for length in (3, 12, 20, 60, len(whole) - 4)} == {0x0115}
    assert desk.taken == []
    assert _send_raw(port, whole, monkeypatch) == 0x0000
    assert desk.taken[0].references == (ObjectReference(*FILM),)


def test_more_references_than_can_be_checked_are_refused(
    port: int, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller is told to ask in parts; up to the limit all is well."""
    monkeypatch.setattr(commitment, "MAX_REFERENCES", 3)
    films = [(CR, f"2.25.{number}") for number in range(1, 5)]
    assert [request_commitment(port, action_information(films[:n])) for n in (3, 4)] == [0x0000, 0x0213]
    assert [len(request.references) for request in desk.taken] == [3]


def test_a_request_that_is_too_long_is_refused_before_it_is_parsed(
    port: int, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parsing takes many times its length of memory, and whoever is let in may send one."""
    information = action_information([FILM])
    monkeypatch.setattr(commitment, "MAX_INFORMATION_BYTES", 10)
    monkeypatch.setattr(commitment, "read_data_set", lambda *_: 1 / 0)
    assert request_commitment(port, information) == 0x0213
    assert desk.taken == []


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (CommitmentRequestError("a stranger", status=0x0124), 0x0124),
        (OutOfResourcesError("database away"), 0x0213),
        (ZeroDivisionError("ours"), 0x0110),
    ],
)
def test_what_cannot_be_taken_is_refused(port: int, desk: Desk, fault: Exception, status: int) -> None:
    """By the status of its fault, and with a failure whatever goes wrong: no promise is made by accident."""
    desk.fault = fault
    assert request_commitment(port, action_information([FILM])) == status


@pytest.fixture
def ear() -> Ear:
    """A peer for reports that does not listen yet."""
    return Ear(PeerSettings(ae_title=CALLER, host=LOOPBACK, port=free_port()))


def _report(ear: Ear) -> None:
    report = CommitmentReport("2.25.7", (), {ObjectReference(CR, "odd uid"): FailureReason.NO_SUCH_OBJECT_INSTANCE})
    peer = ApplicationEntity(CALLER, ear.address.host, ear.address.port)
    report_commitment(peer, report, calling_ae_title="CXRTRIAGE", timeout_seconds=10)


def test_a_report_arrives_also_about_an_odd_uid(ear: Ear) -> None:
    """What was asked for under a UID is answered under it; we are its requestor and the provider of the class."""
    with listening(ear):
        _report(ear)
    assert ear.outcomes == [(2, [], {"odd uid": 0x0112})]
    assert ear.roles == [(False, True)]


def test_a_peer_that_is_silent_about_roles_is_told_nevertheless(ear: Ear) -> None:
    """Not every modality answers role selection, though it takes reports."""
    with listening(ear, scp_role=None):
        _report(ear)
    assert len(ear.reports) == 1


@UNCLOSED
def test_a_peer_that_cannot_be_reached_is_unreachable(ear: Ear) -> None:
    """Nobody listens, or it lets us not in, or breaks off before it answers."""
    with pytest.raises(PeerUnreachableError, match="does not answer"):
        _report(ear)
    with listening(ear, lets_in="SOMEBODY"), pytest.raises(PeerUnreachableError, match="rejected"):
        _report(ear)
    ear.before_answer = lambda event: event.assoc.abort()
    with listening(ear), pytest.raises(PeerUnreachableError, match="no answer in time, or broke"):
        _report(ear)


def test_a_peer_that_does_not_acknowledge_has_refused(ear: Ear) -> None:
    """It answers another status, or will not have us as provider."""
    ear.status = 0x0110
    with listening(ear), pytest.raises(ReportRefusedError, match="0x0110"):
        _report(ear)
    with listening(ear, scp_role=False), pytest.raises(ReportRefusedError, match="takes no storage commitment"):
        _report(ear)
