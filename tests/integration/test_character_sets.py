"""Names in every character set, right and wrong, on their way from a film's file to the report at its destination."""

import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.filereader import read_file_meta_info
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_io.header import encode_header
from dicom_io.part10 import tolerant
from dicom_io.reader import read_raw_header
from tests.films import film, save
from tests.results import flag, prediction
from tests.servers.http import StartHttp
from tests.servers.programs import require_program
from tests.servers.storescp import StartStoreScp
from worker.delivery.reporting import encode_file, structured_report
from worker.delivery.send import send
from worker.destinations import DicomDestination, DicomwebDestination, FolderDestination
from worker.domain import ScreeningResult

_JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"
_ESCAPED = b"=".join(b"^".join(p.encode("iso2022_jp") for p in g.split("^")) for g in _JAPANESE.split("="))
_MIXED = b"M\x1b-A\xfcller^" + b"\x1b-L" + "Иван".encode("iso8859_5")
# Specific Character Set, the name's bytes, and the name where the set is the right one.
RIGHT = {
    "latin-1": (b"ISO_IR 100", "Müller^Jürgen".encode("latin-1"), "Müller^Jürgen"),
    "latin-1 as extension": (b"ISO 2022 IR 100", "Müller^Jürgen".encode("latin-1"), "Müller^Jürgen"),
    "cyrillic": (b"ISO_IR 144", "Люксембург^Роза".encode("iso8859_5"), "Люксембург^Роза"),
    "cyrillic as extension": (b"ISO 2022 IR 144", "Люксембург^Роза".encode("iso8859_5"), "Люксембург^Роза"),
    "japanese with escapes": (b"\\ISO 2022 IR 87", _ESCAPED, _JAPANESE),
    "several sets with escapes": (b"ISO 2022 IR 6\\ISO 2022 IR 100\\ISO 2022 IR 144", _MIXED, "Müller^Иван"),
    "utf-8": (b"ISO_IR 192", "王^小东=山田".encode(), "王^小东=山田"),
    "gb18030": (b"GB18030", "王^小东".encode("gb18030"), "王^小东"),
}
WRONG = {
    "utf-8 that calls itself latin-1": (b"ISO_IR 100", "山田^太郎".encode()),
    "shift-jis that calls itself latin-1, with a backslash inside": (b"ISO_IR 100", "ソウ^表".encode("shift_jis")),
    "utf-8 without a character set": (b"", "Müller^Jürgen".encode()),
    "latin-1 that calls itself utf-8": (b"ISO_IR 192", b"M\xfcller^J\xfcrgen"),
    "a set that does not exist": (b"ISO_IR 999", b"\xd0\xd1\xd2^\xd3"),
    "escapes without the set that they call": (b"ISO_IR 6", _ESCAPED),
}
# Debian's DCMTK, built with the C library's iconv, converts neither escapes to JIS X 0208 nor a lone "ISO 2022 IR x".
BEYOND_DCMTK = {"latin-1 as extension", "cyrillic as extension", "japanese with escapes"}
CASES = {name: case[:2] for name, case in (RIGHT | WRONG).items()}
_NAMES = ("PatientName", "ReferringPhysicianName", "StudyDescription")


def _file(path: Path, character_set: bytes, name: bytes, syntax: str) -> Path:
    """A film's file that holds just these bytes, as a modality wrote them; pydicom would write its own encoding."""
    dataset = film(np.zeros((8, 8), np.uint16), StudyID="S1", PatientID="P1", StudyDate="20261120")
    places = {
        keyword: letter * len(name + b" " * (len(name) % 2)) for keyword, letter in zip(_NAMES, "PRD", strict=True)
    }
    with tolerant():
        for keyword, place in places.items():
            setattr(dataset, keyword, place)
        if character_set:
            dataset.SpecificCharacterSet = character_set.decode().split("\\")
    save(dataset, path, syntax)
    written = path.read_bytes()
    for place in places.values():
        assert written.count(place.encode()) == 1
        written = written.replace(place.encode(), name.ljust(len(place)))
    path.write_bytes(written)
    return path


def _result(path: Path) -> ScreeningResult:
    """A result of the film, with the header that prepare keeps of it."""
    header = read_raw_header(path)
    assert header is not None
    said = flag(prediction(flagged=True, uid="2.25.3")).model_copy(update={"study_instance_uid": "2.25.1"})
    return ScreeningResult(flag=said, headers=(encode_header(header),))


def _bytes(path: Path, keyword: str) -> bytes:
    """The value of an element as it lies in the file, without padding."""
    header = read_raw_header(path)
    assert header is not None
    element = header.get_item(Tag(keyword)) if Tag(keyword) in header else None
    value = b"" if element is None else element.value or b""
    # pydicom reads this one at once, since it needs it for the others.
    return value.rstrip(b" \0") if isinstance(value, bytes) else str(value).encode()


def _assert_same_bytes(report: Path, character_set: bytes, name: bytes) -> None:
    for keyword in _NAMES:
        assert _bytes(report, keyword) == name, keyword
    # Found as they are in the file, too, and not only where pydicom thinks that they are.
    assert name in report.read_bytes()
    assert character_set.ljust(len(character_set) + len(character_set) % 2) in report.read_bytes()
    assert (b"\x08\x00\x05\x00" in report.read_bytes()) == bool(character_set)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("case", CASES)
def test_a_name_reaches_a_folder_byte_for_byte(case: str, syntax: str, tmp_path: Path) -> None:
    """Whatever it is encoded in, and whatever it says that it is encoded in."""
    character_set, name = CASES[case]
    result = _result(_file(tmp_path / "film.dcm", character_set, name, syntax))
    _assert_same_bytes(_delivered(result, tmp_path / "flags"), character_set, name)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ScreeningResult]:
    """A result of a film for each case."""
    folder = tmp_path_factory.mktemp("films")
    return {
        case: _result(_file(folder / f"{number}.dcm", character_set, name, ExplicitVRLittleEndian))
        for number, (case, (character_set, name)) in enumerate(CASES.items())
    }


@pytest.mark.parametrize("options", [(), ("--implicit",)], ids=["explicit", "implicit"])
def test_a_name_reaches_a_pacs_byte_for_byte(
    options: tuple[str, ...], storescp: StartStoreScp, results: dict[str, ScreeningResult]
) -> None:
    """DCMTK's storescp keeps what came over the line, in the transfer syntax that it asked for."""
    server = storescp(*options)
    destination = DicomDestination(
        kind="dicom", name="pacs", ae_title=server.ae_title, host=server.host, port=server.port
    )
    for number, (case, result) in enumerate(results.items(), start=1):
        said = result.flag.model_copy(update={"result_uid": f"2.25.{number}"})
        send(result.model_copy(update={"flag": said}), destination, calling_ae_title="CXRTRIAGE")
        (received,) = server.files()
        assert read_file_meta_info(received).TransferSyntaxUID.is_implicit_VR == bool(options)
        _assert_same_bytes(received, *CASES[case])
        received.unlink()


def test_a_name_reaches_a_dicomweb_service_byte_for_byte(
    http_server: StartHttp, results: dict[str, ScreeningResult]
) -> None:
    """The library that sends the report does not read it: the file arrives within the request as a folder gets it."""
    server = http_server()
    destination = DicomwebDestination(kind="dicomweb", name="web", url=server.url)
    for case, result in results.items():
        send(result, destination, calling_ae_title="US")
        file = encode_file(structured_report(result))
        assert b"\r\n\r\n" + file + b"\r\n--" in server.requests[-1].body
        for part in CASES[case]:
            assert part in file


def _delivered(result: ScreeningResult, folder: Path) -> Path:
    send(result, FolderDestination(kind="folder", name="flags", path=folder), calling_ae_title="US")
    (report,) = folder.glob("*.dcm")
    return report


@pytest.mark.parametrize("case", RIGHT)
def test_a_name_that_was_right_is_readable_in_the_report(
    case: str, tmp_path: Path, results: dict[str, ScreeningResult]
) -> None:
    """Where the film's character set was the right one, a reader of the report sees the name."""
    assert str(dcmread(_delivered(results[case], tmp_path / "flags")).PatientName) == RIGHT[case][2]


@pytest.mark.parametrize("case", sorted(set(RIGHT) - BEYOND_DCMTK))
def test_dcmtk_reads_the_name_too(case: str, tmp_path: Path, results: dict[str, ScreeningResult]) -> None:
    """So do DCMTK's dcmdump and dsr2xml."""
    report, name = _delivered(results[case], tmp_path / "flags"), RIGHT[case][2]
    show = [require_program("dcmdump", "dcmtk"), "+U8", "+P", "PatientName", str(report)]
    assert f"[{name}]" in subprocess.run(show, capture_output=True, check=True).stdout.decode()
    convert = [require_program("dsr2xml", "dcmtk"), "+U8", str(report)]
    xml = ET.fromstring(subprocess.run(convert, capture_output=True, check=True).stdout)  # noqa: S314 - DCMTK's own
    told = "".join(text for element in xml.iter("patient") for text in element.itertext())
    assert name.split("=")[0].split("^")[0] in told
