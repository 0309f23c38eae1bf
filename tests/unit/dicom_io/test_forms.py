"""The forms of a report: one content as three kinds of object, each valid, each with UIDs of its own."""

import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.dsutils import encode

from dicom_io.header import decode_header, encode_header
from dicom_io.identification import identify
from dicom_io.part10 import tolerant
from dicom_io.report import ReportForm, ScreenedImage, ScreeningReport, derive_uid
from dicom_io.result_picture import MOST_IMAGES, build_picture, draw
from dicom_io.sr import build_sr
from tests.reports import complaints, file_of, report_of
from tests.results import FILM, film
from tests.servers.programs import require_program

STRUCTURED = [ReportForm.COMPREHENSIVE_3D_SR, ReportForm.COMPREHENSIVE_SR]
KINDS = ["flagged", "screened", "unscreened"]
# The style sheet of the validator is past the limits that newer Java sets; the rest makes it start sooner.
JAVA = {
    "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC "
    "-Djdk.xml.xpathTotalOpLimit=0 -Djdk.xml.xpathExprOpLimit=0 -Djdk.xml.xpathExprGrpLimit=0"
}
# Its context group 100 is older than this code's place in it.
OLD_CODES = f'({codes.LN.XRUnspecifiedBodyRegion.value},LN,"XR unspecified body region") not found in context group 100'


@pytest.fixture(scope="module")
def header() -> bytes:
    """The header of a film."""
    return encode_header(film())


Build = Callable[[ReportForm, ScreeningReport], Dataset]


@pytest.fixture
def build(header: bytes) -> Build:
    """Call it with a form and what is stated."""
    return lambda form, report: (
        build_sr(report, [header], form=form) if form.is_structured else build_picture(report, header)
    )


def image_errors(picture: Dataset, folder: Path) -> list[str]:
    """What dciodvfy has against an image."""
    path = folder / "sc.dcm"
    path.write_bytes(file_of(picture))
    program = require_program("dciodvfy", "dicom3tools")
    verdict = subprocess.run([program, "-new", path], capture_output=True, text=True, check=False)
    assert "SCImage" in verdict.stderr
    return [line for line in verdict.stderr.splitlines() if line.startswith("Error")]


@pytest.mark.parametrize("kind", KINDS)
def test_every_form_is_valid(kind: str, build: Build, tmp_path: Path) -> None:
    """Neither dciodvfy nor dsrdump has anything against the second and third form, either."""
    report = report_of(kind, [FILM])
    assert complaints(build(ReportForm.COMPREHENSIVE_SR, report), tmp_path) == []
    assert image_errors(build(ReportForm.SECONDARY_CAPTURE, report), tmp_path) == []


def test_every_real_file_gets_a_valid_picture(shared_data: Path, tmp_path: Path) -> None:
    """Whatever its header lacks."""
    for path in sorted((shared_data / "dicom").rglob("*.dcm")):
        header = encode_header(dcmread(path, stop_before_pixels=True))
        picture = build_picture(report_of("flagged", [decode_header(header).SOPInstanceUID]), header)
        assert image_errors(picture, tmp_path) == [], path.name


def test_the_content_is_the_same_in_both_structured_forms(build: Build) -> None:
    """Only SOP class, UIDs and what refers to them differ."""
    best, second = (build(form, report_of("flagged", [FILM])) for form in STRUCTURED)
    assert best.ContentSequence == second.ContentSequence
    assert (best.SeriesDescription, second.SeriesDescription) == ("AI TRIAGE: HIGH",) * 2
    assert [one.SOPClassUID for one in (best, second)] == [form.sop_class_uid for form in STRUCTURED]


def test_no_two_forms_share_a_name(build: Build) -> None:
    """SOP and Series Instance UIDs differ, so that a PACS that has one takes the other; the best keeps its old ones."""
    objects = [build(form, report_of("flagged", [FILM])) for form in ReportForm]
    names = {uid for one in objects for uid in (one.SOPInstanceUID, one.SeriesInstanceUID)}
    assert len(names) == 6
    assert objects[0].SOPInstanceUID == derive_uid("2.25.4711", "sr")


@pytest.mark.parametrize("form", list(ReportForm))
def test_each_form_is_the_same_object_again_and_is_known_as_ours(form: ReportForm, build: Build) -> None:
    """The same bytes; and when it comes back, we know that we made it."""
    first, again = (build(form, report_of("flagged", [FILM])) for _ in range(2))
    assert file_of(first) == file_of(again)
    with tolerant():
        encoded = encode(first, False, True)
    assert encoded is not None
    assert identify(memoryview(encoded), ExplicitVRLittleEndian).made_here


@pytest.mark.parametrize("form", STRUCTURED)
@pytest.mark.parametrize("before", [*ReportForm, None])
def test_a_predecessor_is_named_as_it_was_sent(form: ReportForm, before: ReportForm | None, build: Build) -> None:
    """A structured report names the structured report that went before; a picture is no predecessor (C.17.2)."""
    report = replace(report_of("flagged", [FILM]), predecessor_result_uid="2.25.99", predecessor_form=before)
    built = build(form, report)
    if before not in STRUCTURED:
        assert "PredecessorDocumentsSequence" not in built
        return
    series = built.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    (instance,) = series.ReferencedSOPSequence
    assert instance.ReferencedSOPClassUID == before.sop_class_uid
    assert instance.ReferencedSOPInstanceUID == derive_uid("2.25.99", before.kind)
    assert series.SeriesInstanceUID == derive_uid("2.25.99", f"{before.kind}-series")


def test_the_picture_repeats_patient_and_study_and_shows_neither(header: bytes) -> None:
    """It is filed with the film; another patient's picture has the same pixels."""
    other = decode_header(header)
    other.PatientName, other.PatientID, other.AccessionNumber = "Other^Name", "X9", "ACC9"
    report = report_of("flagged", [FILM])
    first, second = build_picture(report, header), build_picture(report, encode_header(other))
    assert (second.PatientName, second.PatientID, second.AccessionNumber) == ("Other^Name", "X9", "ACC9")
    assert first.StudyInstanceUID == decode_header(header).StudyInstanceUID
    assert first.PixelData == second.PixelData
    assert (first.BurnedInAnnotation, first.ConversionType, first.Modality) == ("NO", "WSD", "OT")
    assert first.SeriesDescription == "AI TRIAGE: HIGH"


def test_the_picture_tells_results_apart_and_always_fits() -> None:
    """A flag, none, and a withdrawal look different; with the longest text the reservations stay clear of the rest."""
    flagged = report_of("flagged", [FILM])
    withdrawn = replace(flagged, flagged=False, withdrawn=True)
    pictures = [draw(report) for report in (flagged, report_of("screened", [FILM]), withdrawn)]
    assert len({picture.tobytes() for picture in pictures}) == 3
    image = replace(flagged.images[0], sop_instance_uid="2.25." + "9" * 59, threshold=0.99999, probability=1.0)
    many = replace(
        flagged,
        images=[image] * (MOST_IMAGES + 9),
        warnings=["e0" * 40, "warning " * 30] * 3,
        model_name="resnet50-" * 7,
    )
    fullest = draw(many)
    rows, columns = (np.flatnonzero(fullest.any(axis=axis)) for axis in (1, 0))
    gaps = np.diff(rows)
    assert gaps[rows[:-1] > 560].max() > 15  # between what is told and the reservations below it
    assert rows.max() < 768 - 40
    assert columns.max() < 1024 - 20


@pytest.fixture
def fullest() -> ScreeningReport:
    """A report with an image of every kind, a reason, a warning and a predecessor."""
    report = report_of("flagged", [FILM])
    unscreened = report_of("unscreened", [FILM]).images[0]
    withdrawn = replace(report.images[0], flagged=False, withdrawn=True)
    images: list[ScreenedImage] = [*report.images, unscreened, withdrawn]
    return replace(report, images=images, predecessor_result_uid="2.25.99", predecessor_form=STRUCTURED[0])


def test_the_template_holds(fullest: ScreeningReport, header: bytes, tmp_path: Path) -> None:
    """PixelMed's validator finds no error against TID 1500 and the templates in it, in either structured form."""
    program = require_program("DicomSRValidator", "pixelmed-apps")
    built = [build_sr(fullest, [header], form=form) for form in STRUCTURED]

    def verdict(number: int) -> str:
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(file_of(built[number]))
        environment = {**os.environ, **JAVA}
        run = subprocess.run([program, path], capture_output=True, text=True, check=True, env=environment)
        return run.stdout + run.stderr

    assert codes.LN.XRUnspecifiedBodyRegion in codes.cid100.concepts.values()
    with ThreadPoolExecutor(2) as threads:  # Java takes seconds to start
        verdicts = list(threads.map(verdict, range(len(built))))
    for said in verdicts:
        assert "Found Root Template TID_1500" in said
        assert "IOD validation complete" in said
        assert [line for line in said.splitlines() if line.startswith("Error") and OLD_CODES not in line] == []
