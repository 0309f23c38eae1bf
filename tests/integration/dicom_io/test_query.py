"""Asking a PACS: Orthanc and DCMTK's, and one that answers everything that it should not."""

import itertools
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pynetdicom import evt

from dicom_io import query
from dicom_io.errors import PeerUnreachableError, QueryRefusedError
from dicom_io.query import StudiesFound, find_instances, find_studies
from dicom_io.types import ApplicationEntity
from tests.archives import DAY, Answers, answer, archive, entity, fill, film, orthanc_that_sends_to
from tests.servers.dcmqrscp import StartQueryRetrieveScp
from tests.servers.orthanc import StartOrthanc
from tests.servers.ports import LOOPBACK

MODALITIES = ("CR", "DX")
PENDING, SUCCESS = 0xFF00, 0x0000
# pynetdicom drops the socket of a refused connection without closing it.
UNCLOSED = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")


def _studies(peer: ApplicationEntity, *days: date, timeout_seconds: float = 10) -> StudiesFound:
    return find_studies(peer, days or (DAY,), MODALITIES, calling_ae_title="CXRTRIAGE", timeout_seconds=timeout_seconds)


def _images(peer: ApplicationEntity, study: str) -> set[str]:
    images = find_instances(peer, study, MODALITIES, calling_ae_title="CXRTRIAGE", timeout_seconds=10)
    return {image.sop_instance_uid for image in images}


@pytest.fixture(params=["orthanc", "dcmqrscp"])
def pacs(request: pytest.FixtureRequest, orthanc: StartOrthanc, dcmqrscp: StartQueryRetrieveScp) -> ApplicationEntity:
    """Each of the two real PACS."""
    return entity(orthanc(**orthanc_that_sends_to(1)) if request.param == "orthanc" else dcmqrscp())


def test_a_day_is_asked_for_its_radiographs(pacs: ApplicationEntity, tmp_path: Path) -> None:
    """A real PACS names the images of a study that may be radiographs; not the screen capture, not another day's."""
    cr, dx = film(1, "2.25.77"), film(2, "2.25.77", kind="DX")
    capture = film(3, "2.25.77", kind="SC")  # Modality OT
    old = film(4, "2.25.78")
    old.StudyDate = "20251231"
    foreign = film(5, "2.25.79", kind="SC")
    fill(pacs, [cr, dx, capture, old, foreign], tmp_path)
    assert "2.25.77" in _studies(pacs).study_instance_uids
    assert "2.25.78" not in _studies(pacs).study_instance_uids
    assert _images(pacs, "2.25.77") == {cr.SOPInstanceUID, dx.SOPInstanceUID}
    assert _images(pacs, "2.25.79") == set()  # DCMTK's knows no Modalities in Study and names the study, too
    assert _studies(pacs, date(2025, 12, 31), DAY).study_instance_uids[0] == "2.25.78"


def test_a_pacs_that_limits_its_answers_is_asked_for_less_at_a_time(orthanc: StartOrthanc, tmp_path: Path) -> None:
    """More studies than Orthanc names at once are found; too many of one hour are not, and that is told."""
    pacs = entity(orthanc(**orthanc_that_sends_to(1), LimitFindResults=2))
    films = [film(number, f"2.25.{number}") for number in range(4)]
    for number, one in enumerate(films):
        one.StudyTime = f"{6 * number:02}3000"
    fill(pacs, films, tmp_path)
    found = _studies(pacs)
    assert set(found.study_instance_uids) == {f"2.25.{number}" for number in range(4)}
    assert not found.limited
    fill(pacs, [film(number, f"2.25.{number}") for number in range(10, 13)], tmp_path)  # all at 03:04:05
    assert _studies(pacs).limited


def _saying(*answers: tuple[int, Dataset | None]) -> Callable[[evt.Event], Answers]:
    return lambda _event: answers


def _study(**attributes: object) -> tuple[int, Dataset]:
    return PENDING, answer(**{"StudyInstanceUID": "2.25.1", "StudyDate": "20260102", **attributes})


@pytest.mark.parametrize(
    ("attributes", "named"),
    [
        ({"ModalitiesInStudy": ["SR", "DX"]}, True),
        ({"ModalitiesInStudy": "CR "}, True),
        ({"ModalitiesInStudy": ""}, True),
        ({"ModalitiesInStudy": ["CT", "SR"]}, False),
        ({"StudyDate": "20260103"}, False),
        ({"StudyDate": "2026.01.02"}, True),
        ({"StudyDate": ""}, True),
        ({"StudyDate": "nonsense"}, False),
    ],
)
def test_what_a_pacs_answers_is_held_against_what_it_was_asked(attributes: dict[str, object], named: bool) -> None:
    """Keys that it ignores, values that it puts together and character sets that are none lead nobody astray."""
    with archive(find=_saying(_study(**attributes))) as pacs:
        assert _studies(pacs).study_instance_uids == (("2.25.1",) if named else ())


@pytest.mark.filterwarnings("ignore:Unknown encoding")  # the test's own PACS complains
def test_a_name_in_a_wrong_character_set_hides_no_study() -> None:
    """An attribute that nobody asked for, in a character set that there is not, is never decoded."""
    status, study = _study()
    study[0x00080005] = RawDataElement(
        Tag(0x00080005), "CS", 8, b"NONSENSE", 0, is_implicit_VR=False, is_little_endian=True
    )
    study[0x00100010] = RawDataElement(
        Tag(0x00100010), "PN", 4, b"\xff\xfe\x80^", 0, is_implicit_VR=False, is_little_endian=True
    )
    with archive(find=_saying((status, study))) as pacs:
        assert _studies(pacs).study_instance_uids == ("2.25.1",)


@pytest.mark.parametrize("uid", ["", "1.2\\3", "x' OR 1=1", "1" * 65])
def test_a_study_without_a_usable_uid_is_counted(uid: str) -> None:
    """It can be neither compared nor fetched; that it is there is told."""
    with archive(find=_saying(_study(StudyInstanceUID=uid), _study())) as pacs:
        found = _studies(pacs)
    assert found.study_instance_uids == ("2.25.1",)
    assert found.unnamed == len(MODALITIES)


@pytest.mark.parametrize("status", [0xA700, 0xFE00])
def test_a_pacs_that_stops_at_its_limit_says_so(status: int) -> None:
    """What it named is kept, and that there is more is known, whatever part of the day it is asked for."""

    def find(event: evt.Event) -> Answers:
        hours = event.identifier.get("StudyTime", "")
        yield _study()
        yield (status, None) if hours in {"", "000000-115959.999999"} or hours < "03" else (SUCCESS, None)

    with archive(find=find) as pacs:
        found = _studies(pacs)
    assert found.study_instance_uids == ("2.25.1",)
    assert found.limited


@pytest.mark.parametrize("status", [0xA700, 0xA900, 0xC000, 0x0122, 0x0124])
def test_a_failure_is_told_with_its_status(status: int) -> None:
    """A PACS that names nothing and says why is not one without studies."""
    with archive(find=_saying((status, None))) as pacs, pytest.raises(QueryRefusedError, match=f"0x{status:04X}"):
        _studies(pacs)


def test_answers_without_an_end_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PACS that matches nothing and names its whole archive is given up."""
    monkeypatch.setattr(query, "MOST_ANSWERS", 20)
    with (
        archive(find=lambda _event: itertools.repeat(_study())) as pacs,
        pytest.raises(QueryRefusedError, match="20 answers without an end"),
    ):
        _studies(pacs)


def _breaking(event: evt.Event) -> Iterator[tuple[int, Dataset]]:
    yield _study()
    event.assoc.abort()
    yield _study()


def _hanging(event: evt.Event) -> Iterator[tuple[int, Dataset]]:
    yield _study()
    time.sleep(1.5)


@pytest.mark.parametrize("find", [_breaking, _hanging])
def test_a_pacs_that_stops_in_the_middle_is_unreachable(find: Callable[[evt.Event], Answers]) -> None:
    """Half an answer is none: what was not named must not count as not there."""
    with archive(find=find) as pacs, pytest.raises(PeerUnreachableError, match="no answer in time, or broke"):
        _studies(pacs, timeout_seconds=0.5)


def test_a_pacs_that_offers_no_query_is_told() -> None:
    """Its access list or its licence is to be looked at."""
    with archive() as pacs, pytest.raises(QueryRefusedError, match="offers no C-FIND"):
        _studies(pacs)


@UNCLOSED
def test_a_pacs_that_is_down_is_unreachable(free_port: Callable[[], int]) -> None:
    """Nobody listens on the port."""
    with pytest.raises(PeerUnreachableError, match="does not answer"):
        _studies(ApplicationEntity("DOWN", LOOPBACK, free_port()))


def test_a_pacs_that_rejects_us_is_unreachable(dcmqrscp: StartQueryRetrieveScp) -> None:
    """It says so, and what to check."""
    with pytest.raises(PeerUnreachableError, match="rejected the association; check both AE titles"):
        _studies(entity(dcmqrscp("--refuse")))


def _below(series: Dataset, image: Dataset, *, end: int = SUCCESS) -> Callable[[evt.Event], Answers]:
    def find(event: evt.Event) -> Answers:
        level = event.identifier.QueryRetrieveLevel
        yield PENDING, (series if level == "SERIES" else image)
        yield end, None

    return find


SERIES = answer(SeriesInstanceUID="2.25.2", Modality="CR")


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1"}, True),
        ({}, True),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.11.1"}, False),
    ],
)
def test_an_image_is_wanted_unless_its_class_says_otherwise(image: dict[str, object], wanted: bool) -> None:
    """A PACS need not state the SOP Class of an image; a presentation state in a series of films is not wanted."""
    with archive(find=_below(SERIES, answer(SOPInstanceUID="2.25.3", **image))) as pacs:
        assert _images(pacs, "2.25.1") == ({"2.25.3"} if wanted else set())


def test_a_series_without_modality_is_looked_into() -> None:
    """What is not said is no reason to miss a film."""
    with archive(find=_below(answer(SeriesInstanceUID="2.25.2"), answer(SOPInstanceUID="2.25.3"))) as pacs:
        assert _images(pacs, "2.25.1") == {"2.25.3"}


@pytest.mark.parametrize(
    ("find", "complaint"),
    [
        (_below(answer(Modality="CR"), answer(SOPInstanceUID="2.25.3")), "usable SeriesInstanceUID"),
        (_below(SERIES, answer(SOPInstanceUID="")), "usable SOPInstanceUID"),
        (_below(SERIES, answer(SOPInstanceUID="2.25.3"), end=0xFE00), "only a part"),
    ],
)
def test_a_study_that_is_named_in_part_is_an_error(find: Callable[[evt.Event], Answers], complaint: str) -> None:
    """It must not pass for a study that is here as a whole."""
    with archive(find=find) as pacs, pytest.raises(QueryRefusedError, match=complaint):
        _images(pacs, "2.25.1")


def test_no_attribute_of_a_patient_is_asked_for() -> None:
    """Keys are UIDs, date, time and modality."""
    asked: list[str] = []

    def find(event: evt.Event) -> Answers:
        asked.extend(element.keyword for element in event.identifier)
        return [_study(), (SUCCESS if "StudyTime" in event.identifier else 0xFE00, None)]

    with archive(find=find) as pacs:
        _studies(pacs)
    keys = {"QueryRetrieveLevel", "StudyInstanceUID", "StudyDate", "StudyTime", "ModalitiesInStudy"}
    assert set(asked) == keys
