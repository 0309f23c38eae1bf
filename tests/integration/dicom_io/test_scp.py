"""The storage provider with real clients: DCMTK's, and pynetdicom's where a client must misbehave."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread, uid
from pynetdicom import AE, Association
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import ModalityWorklistInformationFind
from structlog.testing import capture_logs

from dicom_io.access import Access
from dicom_io.errors import DicomIoError, OutOfResourcesError, SpoolError, UnsupportedObjectError
from dicom_io.phantom import phantom_dataset
from dicom_io.scp import ReceivedObject, StorageSCP
from dicom_io.transfer_syntaxes import ACCEPTED
from dicom_io.types import ApplicationEntity
from tests.servers.programs import require_program

EXPLICIT = uid.ExplicitVRLittleEndian
CR = uid.ComputedRadiographyImageStorage


@dataclass
class Receiver:
    """Takes responsibility for everything, or raises `fault`; the bytes are copied, as they live for the call only."""

    fault: Exception | None = None
    taken: list[ReceivedObject] = field(default_factory=list)
    files: list[bytes] = field(default_factory=list)

    def __call__(self, received: ReceivedObject) -> None:
        """Take an object."""
        if self.fault is not None:
            raise self.fault
        self.taken.append(received)
        self.files.append(received.file_head + bytes(received.data_set))


@pytest.fixture
def receiver() -> Receiver:
    """What stands behind the provider."""
    return Receiver()


@pytest.fixture
def scp(receiver: Receiver) -> Iterator[StorageSCP]:
    """A provider that lets everybody in."""
    with StorageSCP(ApplicationEntity("CXRTRIAGE", "127.0.0.1", 0), receiver) as provider:
        yield provider


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A CR film in a file."""
    path = tmp_path / "film.dcm"
    phantom().save_as(path, enforce_file_format=True)
    return path


def phantom(syntax: str = EXPLICIT) -> Dataset:
    """A small CR film."""
    return phantom_dataset(1, kind="CR", rows=64, columns=48, accession_number="ACC1", transfer_syntax_uid=syntax)


def dcmtk(program: str, port: int, *arguments: str | Path, caller: str = "PACS1") -> subprocess.CompletedProcess[str]:
    """Run one of DCMTK's clients against the provider."""
    command = [require_program(program, "dcmtk"), "-v", "-aet", caller, "-aec", "CXRTRIAGE", "127.0.0.1", str(port)]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=30, check=False)


@contextmanager
def association(scp: StorageSCP, *contexts: tuple[str, str]) -> Iterator[Association]:
    """An association of pynetdicom's with these presentation contexts."""
    entity = AE(ae_title="PACS1")
    for abstract_syntax, transfer_syntax in contexts:
        entity.add_requested_context(abstract_syntax, transfer_syntax)
    client = entity.associate("127.0.0.1", scp.port)
    try:
        yield client
    finally:
        if client.is_established:
            client.release()


def status_of(scp: StorageSCP, dataset: Dataset) -> int:
    """The status that a C-STORE of the film is answered with."""
    with association(scp, (CR, EXPLICIT)) as client:
        return int(client.send_c_store(dataset).Status)


def test_an_echo_is_answered(scp: StorageSCP) -> None:
    """C-ECHO succeeds."""
    assert dcmtk("echoscu", scp.port).returncode == 0


def test_a_film_is_taken_and_described(scp: StorageSCP, receiver: Receiver, film: Path) -> None:
    """DCMTK is answered success; the receiver is told who sent what, in which syntax, how urgent."""
    answer = dcmtk("storescu", scp.port, film)
    assert answer.returncode == 0, answer.stderr
    assert "Success" in answer.stdout + answer.stderr
    sent, (taken,) = dcmread(film), receiver.taken
    reference = taken.identification.reference
    assert (reference.study_instance_uid, reference.series_instance_uid) == (
        sent.StudyInstanceUID,
        sent.SeriesInstanceUID,
    )
    assert (reference.sop_class_uid, reference.sop_instance_uid) == (CR, sent.SOPInstanceUID)
    assert (taken.calling_ae_title, taken.transfer_syntax_uid) == ("PACS1", EXPLICIT)
    assert taken.identification.accession_number == "ACC1"


@pytest.mark.parametrize("syntax", [EXPLICIT, uid.ImplicitVRLittleEndian, uid.RLELossless, uid.JPEG2000Lossless])
def test_the_bytes_are_those_that_were_sent(scp: StorageSCP, receiver: Receiver, syntax: uid.UID) -> None:
    """Nothing is parsed and written anew: hash and bytes are the sender's, and with its head the file can be read."""
    dataset = phantom(syntax)
    sent = encode(dataset, syntax.is_implicit_VR, syntax.is_little_endian)
    with association(scp, (CR, syntax)) as client:
        assert client.send_c_store(dataset).Status == 0x0000
    (taken,), (file,) = receiver.taken, receiver.files
    assert file.endswith(sent)
    assert len(file) == len(taken.file_head) + len(sent)
    assert taken.content_sha256 == sha256(sent).hexdigest()
    read = dcmread(BytesIO(file))
    assert read.file_meta.TransferSyntaxUID == syntax
    assert read == dataset


@pytest.mark.parametrize("priority", [0, 1, 2])
def test_the_priority_of_the_request_is_handed_on(scp: StorageSCP, receiver: Receiver, priority: int) -> None:
    """Medium, high and low as the sender says (PS3.7 E.1)."""
    with association(scp, (CR, EXPLICIT)) as client:
        client.send_c_store(phantom(), priority=priority)
    assert [taken.priority for taken in receiver.taken] == [priority]


def test_a_caller_that_is_not_allowed_is_rejected_at_association(receiver: Receiver, film: Path) -> None:
    """Neither echo nor store; a caller of the list is let in."""
    address = ApplicationEntity("CXRTRIAGE", "127.0.0.1", 0)
    with StorageSCP(address, receiver, access=Access(callers=["PACS1", "PACS2"])) as scp:
        for program, *arguments in (("echoscu",), ("storescu", film)):
            refused = dcmtk(program, scp.port, *arguments, caller="STRANGER")
            assert refused.returncode != 0
            assert "Calling AE Title Not Recognized" in refused.stdout + refused.stderr
        assert receiver.taken == []
        assert dcmtk("storescu", scp.port, film, caller="PACS2").returncode == 0
    assert len(receiver.taken) == 1


def test_what_is_not_taken_is_refused_at_negotiation(scp: StorageSCP) -> None:
    """A service we do not offer, a class that is none, and a video syntax; the rest of the association stands."""
    refused = [
        (ModalityWorklistInformationFind, EXPLICIT),
        ("1.2.3.4", EXPLICIT),
        (CR, uid.MPEG2MPML),
    ]
    with association(scp, (CR, EXPLICIT), *refused) as client:
        assert [context.abstract_syntax for context in client.accepted_contexts] == [CR]
        assert {context.abstract_syntax for context in client.rejected_contexts} == {
            ModalityWorklistInformationFind,
            "1.2.3.4",
            CR,
        }
        assert client.send_c_store(phantom()).Status == 0x0000


def test_a_storescu_with_an_unknown_class_is_told_before_it_sends(
    scp: StorageSCP, receiver: Receiver, tmp_path: Path
) -> None:
    """DCMTK finds no presentation context for it, and nothing arrives."""
    dataset = phantom()
    dataset.SOPClassUID = "1.2.3.4"
    dataset.save_as(tmp_path / "private.dcm", enforce_file_format=True)
    refused = dcmtk("storescu", scp.port, tmp_path / "private.dcm")
    assert refused.returncode != 0
    assert receiver.taken == []


def test_every_syntax_is_negotiated_for_every_kind_of_film(scp: StorageSCP) -> None:
    """CR, both DX and Secondary Capture, in whatever the sender prefers."""
    films = (
        CR,
        uid.DigitalXRayImageStorageForPresentation,
        uid.DigitalXRayImageStorageForProcessing,
        uid.SecondaryCaptureImageStorage,
    )
    for syntax in ACCEPTED:
        wanted = {(sop_class, syntax) for sop_class in films}
        with association(scp, *wanted) as client:
            assert {(c.abstract_syntax, c.transfer_syntax[0]) for c in client.accepted_contexts} == wanted


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_a_film_without_uids_cannot_be_understood(scp: StorageSCP, receiver: Receiver, keyword: str) -> None:
    """0xC000: sending again would not help."""
    dataset = phantom()
    delattr(dataset, keyword)
    assert status_of(scp, dataset) == 0xC000
    assert receiver.taken == []


def stubborn_client(monkeypatch: pytest.MonkeyPatch, change: Callable[[bytes], bytes]) -> None:
    """Let pynetdicom send other bytes than the object it was given."""
    monkeypatch.setattr("pynetdicom.association.encode", lambda *args, **kwargs: change(encode(*args, **kwargs) or b""))


def test_a_request_for_another_object_is_refused(
    scp: StorageSCP, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0xA900: the affected SOP instance of the request is not the data set's."""
    dataset = phantom()
    other = str(dataset.SOPInstanceUID)[:-1] + str((int(dataset.SOPInstanceUID[-1]) + 1) % 10)
    stubborn_client(monkeypatch, lambda raw: raw.replace(dataset.SOPInstanceUID.encode(), other.encode()))
    assert status_of(scp, dataset) == 0xA900
    assert receiver.taken == []


@pytest.mark.parametrize("keyword", ["SpecificCharacterSet", "StudyInstanceUID", "SeriesInstanceUID", "ViewPosition"])
def test_a_data_set_that_ends_inside_an_element_is_refused(
    scp: StorageSCP, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, keyword: str
) -> None:
    """0xC000 wherever the header is cut, also inside the UIDs that would name another study."""
    dataset = phantom()
    value = str(dataset[keyword].value).encode()
    stubborn_client(monkeypatch, lambda raw: raw[: raw.index(value) + len(value) // 2])
    assert status_of(scp, dataset) == 0xC000
    assert receiver.taken == []


def test_a_film_whose_pixels_are_cut_off_is_taken(
    scp: StorageSCP, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is somebody's film: it is kept and comes out unscreened with its reason, instead of never coming in."""
    stubborn_client(monkeypatch, lambda raw: raw[:-1000])
    assert status_of(scp, phantom()) == 0x0000
    assert len(receiver.taken) == 1


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (SpoolError("disk full"), 0xA700),
        (OutOfResourcesError("database away"), 0xA700),
        (DicomIoError("anything else of ours"), 0xA700),
        (UnsupportedObjectError("a contradiction"), 0xC000),
        (KeyError("a bug that quotes Doe^Jane"), 0xA700),
        (OSError(5, "a bug"), 0xA700),
    ],
)
def test_a_fault_is_never_answered_with_success(
    scp: StorageSCP, receiver: Receiver, fault: Exception, status: int
) -> None:
    """Out of resources for what may pass, our own bugs among it, told by their kind; the next film is taken."""
    receiver.fault = fault
    with capture_logs() as logs, association(scp, (CR, EXPLICIT)) as client:
        assert client.send_c_store(phantom()).Status == status
        receiver.fault = None
        assert client.send_c_store(phantom()).Status == 0x0000
    assert type(fault).__name__ in str(logs)
    assert "Doe" not in str(logs)


def test_storescu_fails_when_the_film_is_refused(scp: StorageSCP, receiver: Receiver, film: Path) -> None:
    """A sender that only looks at the exit status learns of it too."""
    receiver.fault = SpoolError("disk full")
    refused = dcmtk("storescu", scp.port, film)
    assert refused.returncode != 0
    assert "0xa700" in (refused.stdout + refused.stderr).lower() or "Refused" in refused.stdout + refused.stderr


def test_films_arrive_over_many_associations_at_once(scp: StorageSCP, receiver: Receiver, tmp_path: Path) -> None:
    """Four DCMTK clients push ten films each; every one is taken, none twice."""
    clients, dataset = [], phantom()
    for number in range(4):
        folder = tmp_path / str(number)
        folder.mkdir()
        for film in range(10):
            dataset.SOPInstanceUID = uid.generate_uid(prefix=None)
            dataset.save_as(folder / f"{film}.dcm", enforce_file_format=True)
        command = [require_program("storescu", "dcmtk"), "-aec", "CXRTRIAGE", "+sd", "127.0.0.1", str(scp.port)]
        clients.append(subprocess.Popen([*command, str(folder)]))
    assert [client.wait(timeout=60) for client in clients] == [0, 0, 0, 0]
    assert len({taken.identification.reference.sop_instance_uid for taken in receiver.taken}) == 40
    assert len(receiver.taken) == 40


def test_the_port_is_free_again_after_the_block(receiver: Receiver) -> None:
    """A listener that is started again binds the same port."""
    with StorageSCP(ApplicationEntity("CXRTRIAGE", "127.0.0.1", 0), receiver) as scp:
        port = scp.port
    with StorageSCP(ApplicationEntity("CXRTRIAGE", "127.0.0.1", port), receiver) as again:
        assert again.port == port
        with pytest.raises(OSError, match="in use"):
            StorageSCP(ApplicationEntity("CXRTRIAGE", "127.0.0.1", port), receiver)
