"""Fetching from a PACS: Orthanc and DCMTK's, and one that breaks what it began."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, uid
from pynetdicom import evt

from dicom_io.errors import (
    MoveDestinationUnknownError,
    OutOfResourcesError,
    PeerUnreachableError,
    RetrieveRefusedError,
)
from dicom_io.query import find_studies
from dicom_io.retrieve import Retrieval, get, move
from dicom_io.scp import ReceivedObject, StorageSCP
from dicom_io.types import ApplicationEntity, SOPInstanceReference
from tests.archives import DAY, OUR_TITLE, archive, entity, fill, film, orthanc_that_sends_to
from tests.servers.dcmqrscp import StartQueryRetrieveScp
from tests.servers.orthanc import StartOrthanc
from tests.servers.ports import LOOPBACK

STUDY = "2.25.77"
NOWHERE = SOPInstanceReference(STUDY, "2.25.78", "", "2.25.79")
OPTIONS: dict[str, Any] = {"calling_ae_title": OUR_TITLE, "timeout_seconds": 10, "within_seconds": 60}


class Taken(list[ReceivedObject]):
    """What was taken responsibility for; or nothing, where `full`."""

    full = False

    def __call__(self, received: ReceivedObject) -> None:
        """Take an object."""
        if self.full:
            raise OutOfResourcesError("spool: no space")
        self.append(received)

    def kinds(self) -> list[tuple[str, str, str]]:
        """Image, sender and transfer syntax of each."""
        return [(r.identification.reference.sop_instance_uid, r.calling_ae_title, r.transfer_syntax_uid) for r in self]


@pytest.fixture
def taken() -> Taken:
    """What came."""
    return Taken()


@pytest.fixture
def listener(taken: Taken) -> Iterator[StorageSCP]:
    """Our listener."""
    with StorageSCP(ApplicationEntity(OUR_TITLE, LOOPBACK, 0), taken) as provider:
        yield provider


@pytest.fixture(params=["orthanc", "dcmqrscp"])
def pacs(
    request: pytest.FixtureRequest, listener: StorageSCP, orthanc: StartOrthanc, dcmqrscp: StartQueryRetrieveScp
) -> ApplicationEntity:
    """Each of the two real PACS; both know our listener."""
    if request.param == "orthanc":
        return entity(orthanc(**orthanc_that_sends_to(listener.port)))
    return entity(dcmqrscp(destinations={OUR_TITLE: listener.port}))


def _reference(dataset: Dataset) -> SOPInstanceReference:
    return SOPInstanceReference(
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPClassUID, dataset.SOPInstanceUID
    )


def _series(count: int, **options: Any) -> list[Dataset]:
    films = [film(number, STUDY, **options) for number in range(count)]
    for one in films:
        one.SeriesInstanceUID = films[0].SeriesInstanceUID
    return films


def test_only_the_images_asked_for_come(pacs: ApplicationEntity, taken: Taken, tmp_path: Path) -> None:
    """Two of a series of three come by C-MOVE, the third by C-GET; the sender is the PACS, whoever opened the line."""
    films = _series(3)
    fill(pacs, films, tmp_path)
    assert move(pacs, [_reference(one) for one in films[:2]], OUR_TITLE, **OPTIONS) == Retrieval(2, 0)
    assert {(image, sender) for image, sender, _ in taken.kinds()} == {
        (one.SOPInstanceUID, pacs.ae_title) for one in films[:2]
    }
    taken.clear()
    assert get(pacs, [_reference(films[2])], taken, **OPTIONS) == Retrieval(1, 0)
    assert taken.kinds() == [(films[2].SOPInstanceUID, pacs.ae_title, uid.ExplicitVRLittleEndian)]


@pytest.mark.parametrize("pacs", ["dcmqrscp"], indirect=True)
def test_what_we_refuse_is_counted_as_failed(pacs: ApplicationEntity, taken: Taken, tmp_path: Path) -> None:
    """An object that is not durable here was not sent; the PACS knows."""
    films = _series(2)
    fill(pacs, films, tmp_path)
    taken.full = True
    for retrieve, way in ((move, OUR_TITLE), (get, taken)):
        try:
            retrieval = retrieve(pacs, [_reference(one) for one in films], way, **OPTIONS)  # type: ignore[operator]
        except RetrieveRefusedError as error:
            assert "status 0x" in str(error)  # noqa: PT017 - a PACS may say it either way
        else:
            assert retrieval.failed == 2
    assert taken == []


def test_a_compressed_film_comes_as_it_is(orthanc: StartOrthanc, taken: Taken, tmp_path: Path) -> None:
    """Every transfer syntax is offered on its own for C-GET, so that nothing needs to be decoded.

    To an unknown destination Orthanc sends nothing, and answers a general failure.
    """
    pacs = entity(orthanc(**orthanc_that_sends_to(1)))
    films = _series(1, transfer_syntax_uid=uid.JPEG2000Lossless)
    fill(pacs, films, tmp_path)
    assert get(pacs, [_reference(films[0])], taken, **OPTIONS) == Retrieval(1, 0)
    assert taken.kinds() == [(films[0].SOPInstanceUID, pacs.ae_title, uid.JPEG2000Lossless)]
    with pytest.raises(RetrieveRefusedError, match="0xC000; its log says why, it may not know the AE title"):
        move(pacs, [_reference(films[0])], "NOBODY", **OPTIONS)


def test_a_pacs_that_does_not_know_us_is_told_apart(dcmqrscp: StartQueryRetrieveScp, tmp_path: Path) -> None:
    """The one fault that holds for every study says what to do at the PACS."""
    pacs = entity(dcmqrscp())
    films = _series(1)
    fill(pacs, films, tmp_path)
    with pytest.raises(MoveDestinationUnknownError, match="add the listener's AE title, host and port"):
        move(pacs, [_reference(films[0])], OUR_TITLE, **OPTIONS)


def test_a_pacs_that_needs_a_query_beside_a_retrieval_gets_it(
    dcmqrscp: StartQueryRetrieveScp, listener: StorageSCP, tmp_path: Path
) -> None:
    """Some refuse C-MOVE to who does not propose C-FIND on the same association."""
    pacs = entity(dcmqrscp("--require-find", destinations={OUR_TITLE: listener.port}))
    films = _series(1)
    fill(pacs, films, tmp_path)
    assert move(pacs, [_reference(films[0])], OUR_TITLE, **OPTIONS) == Retrieval(1, 0)


def test_a_pacs_that_offers_no_such_retrieval_is_told(dcmqrscp: StartQueryRetrieveScp, taken: Taken) -> None:
    """Whether it lacks C-GET alone, or takes neither."""
    with pytest.raises(RetrieveRefusedError, match="offers no C-GET"):
        get(entity(dcmqrscp("--disable-get")), [NOWHERE], taken, **OPTIONS)
    with archive() as pacs:
        with pytest.raises(RetrieveRefusedError, match="offers no C-MOVE"):
            move(pacs, [NOWHERE], OUR_TITLE, **OPTIONS)
        with pytest.raises(RetrieveRefusedError, match="offers no C-GET"):
            get(pacs, [NOWHERE], taken, **OPTIONS)


def _breaking(event: evt.Event) -> Iterator[Any]:
    yield 2
    event.assoc.abort()
    yield 0xFF00, None


def test_a_pacs_that_breaks_off_is_unreachable(taken: Taken) -> None:
    """Trying again may help; what came until then is here."""
    with archive(get=_breaking) as pacs, pytest.raises(PeerUnreachableError, match="no answer in time, or broke"):
        get(pacs, [NOWHERE], taken, **OPTIONS)


def _failing(status: int) -> Callable[[evt.Event], Iterator[Any]]:
    def handle(_event: evt.Event) -> Iterator[Any]:
        yield 1
        yield status, None

    return handle


@pytest.mark.parametrize("status", [0xA701, 0xA702, 0xA900, 0xC000, 0xFE00])
def test_a_failed_retrieval_is_told_with_its_status(status: int, taken: Taken) -> None:
    """Its log says more."""
    with archive(get=_failing(status)) as pacs, pytest.raises(RetrieveRefusedError, match=f"0x{status:04X}"):
        get(pacs, [NOWHERE], taken, **OPTIONS)


def test_a_retrieval_without_an_end_is_ended(taken: Taken) -> None:
    """A PACS that goes on and on answering that it is at it holds nobody for hours."""
    one = film(1, STUDY)

    def sending(event: evt.Event) -> Iterator[Any]:
        yield 10_000
        while event.assoc.is_established:
            yield 0xFF00, one

    started = time.monotonic()
    with archive(get=sending) as pacs, pytest.raises(PeerUnreachableError, match="did not end the C-GET in"):
        get(pacs, [NOWHERE], taken, **{**OPTIONS, "within_seconds": 0.3})
    assert time.monotonic() - started < 10


@contextmanager
def _half_an_answer() -> Iterator[ApplicationEntity]:
    """A peer that sends the first bytes of a long PDU to whoever calls, and then nothing."""
    ended = threading.Event()

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"\x02\x00\x00\x01\x00\x00half")
            ended.wait(20)

    with socket.create_server((LOOPBACK, 0)) as listening:
        thread = threading.Thread(target=serve, args=[listening])
        thread.start()
        yield ApplicationEntity("HALF", LOOPBACK, listening.getsockname()[1])
        ended.set()
        thread.join()


def test_a_pacs_that_breaks_inside_a_pdu_costs_its_time_out() -> None:
    """A line that is dead in the middle of a message does not keep a worker for ever."""
    started = time.monotonic()
    with _half_an_answer() as pacs, pytest.raises(PeerUnreachableError):
        find_studies(pacs, [DAY], ["CR"], calling_ae_title=OUR_TITLE, timeout_seconds=0.5)
    assert time.monotonic() - started < 10
