"""The structured report: valid whatever the film's header lacks, and stating no more than it may."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import MultiFrameGrayscaleWordSecondaryCaptureImageStorage

from dicom_io.errors import MissingAttributeError
from dicom_io.header import decode_header, encode_header
from dicom_io.phantom import phantom_dataset
from dicom_io.report import ReportForm, derive_uid
from dicom_io.sr import build_sr
from tests.reports import codes_of, complaints, file_of, items_of, report_of

IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
KINDS = ("flagged", "screened", "unscreened")


@pytest.fixture(scope="module")
def header() -> bytes:
    """The header of a phantom."""
    return encode_header(phantom_dataset(1, kind="CR", rows=8, columns=8, accession_number="ACC1"))


@pytest.fixture
def build(header: bytes) -> Callable[[str], Dataset]:
    """Call it with a kind of result for its report."""
    return lambda kind: build_sr(report_of(kind, [decode_header(header).SOPInstanceUID]), [header])


@pytest.mark.parametrize("kind", KINDS)
def test_every_real_file_gets_a_valid_report(kind: str, shared_data: Path, tmp_path: Path) -> None:
    """Neither dciodvfy nor dsrdump has anything against the report of any real file, whatever it lacks."""
    for path in sorted((shared_data / "dicom").rglob("*.dcm")):
        header = encode_header(dcmread(path, stop_before_pixels=True))
        report = build_sr(report_of(kind, [decode_header(header).SOPInstanceUID]), [header])
        assert complaints(report, tmp_path) == [], path.name


@pytest.mark.parametrize("kind", ["CR", "DX", "DX for processing", "SC"])
@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking would start thousands of programs
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_attribute_may_be_missing_or_empty(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    """The report is valid without any set of attributes that do not identify the image."""
    full = decode_header(encode_header(phantom_dataset(2, kind=kind, rows=8, columns=8)))  # type: ignore[arg-type]
    optional = sorted(element.keyword for element in full if element.keyword not in IDENTITY)
    missing = data.draw(st.sets(st.sampled_from(optional)))
    empty = data.draw(st.sets(st.sampled_from(optional)))
    for keyword in missing:
        delattr(full, keyword)
    for keyword in empty - missing:
        setattr(full, keyword, None)
    report = build_sr(report_of(data.draw(st.sampled_from(KINDS)), [full.SOPInstanceUID]), [encode_header(full)])
    assert complaints(report, tmp_path) == []


@pytest.mark.parametrize("keyword", IDENTITY)
def test_an_image_without_identity_gets_no_report(keyword: str, header: bytes) -> None:
    """A report that could not name its image is refused with the attribute's name."""
    source = decode_header(header)
    uid = source.SOPInstanceUID
    del source[Tag(keyword)]
    with pytest.raises(MissingAttributeError, match=keyword):
        build_sr(report_of("flagged", [uid]), [encode_header(source)])


def test_a_result_without_dicom_images_gets_no_report(header: bytes) -> None:
    """Neither no header nor headers of other images make a report."""
    with pytest.raises(MissingAttributeError):
        build_sr(report_of("flagged", ["2.25.1"]), [])
    with pytest.raises(MissingAttributeError):
        build_sr(report_of("flagged", ["2.25.1"]), [header])


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_result_is_the_same_object(kind: str, build: Callable[[str], Dataset]) -> None:
    """Built twice, it has the same bytes."""
    assert file_of(build(kind)) == file_of(build(kind))


def test_a_flagged_report_says_suspected_with_its_certainty(build: Callable[[str], Dataset]) -> None:
    """Pneumonia, suspected, at 93.46 %, high priority; and never final."""
    report = build("flagged")
    assert {"233604007", "415684004", "high", "interim", "screened"} <= codes_of(report)
    (certainty,) = [item for item in items_of(report) if item.ValueType == "NUM"]
    assert certainty.ConceptNameCodeSequence[0].CodeValue == "111012"
    assert certainty.MeasuredValueSequence[0].NumericValue == 93.46
    assert certainty.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == "%"
    assert report.SeriesDescription == "AI TRIAGE: HIGH"
    assert (report.CompletionFlag, report.PreliminaryFlag) == ("PARTIAL", "PRELIMINARY")
    assert report.VerificationFlag == "UNVERIFIED"
    texts = {item.TextValue for item in items_of(report) if item.ValueType == "TEXT"}
    assert {"resnet50", "1.0.0", "threshold = 0.3125", "age outside the model's"} <= texts


def test_an_unflagged_report_states_neither_probability_nor_absence(build: Callable[[str], Dataset]) -> None:
    """It says that and by which model the study was screened, and nothing of a finding."""
    report = build("screened")
    assert report.SeriesDescription == "AI TRIAGE: SCREENED"
    assert (report.CompletionFlag, report.PreliminaryFlag) == ("COMPLETE", "PRELIMINARY")
    assert {"screened", "complete"} <= codes_of(report)
    assert not {"233604007", "415684004", "111012", "121071", "high"} & codes_of(report)
    assert all(item.ValueType != "NUM" for item in items_of(report))
    assert "resnet50" in {item.TextValue for item in items_of(report) if item.ValueType == "TEXT"}
    assert b"0.93" not in file_of(report)
    assert b"normal" not in file_of(report).lower()


def test_an_unscreened_report_gives_the_reason(build: Callable[[str], Dataset]) -> None:
    """It carries the reason code of the JSON flag, long as it is, and no finding."""
    report = build("unscreened")
    assert report.SeriesDescription == "AI TRIAGE: UNSCREENED"
    assert {"unscreened", "unsupported-transfer-syntax"} <= codes_of(report)
    assert not {"screened", "233604007", "111012"} & codes_of(report)


def test_private_codes_are_declared(build: Callable[[str], Dataset]) -> None:
    """The one private coding scheme in use is identified in the object."""
    report = build("flagged")
    assert [item.CodingSchemeDesignator for item in report.CodingSchemeIdentificationSequence] == ["99CXRTRIAGE"]


def test_a_report_joins_its_study_in_a_series_of_its_own(header: bytes, build: Callable[[str], Dataset]) -> None:
    """Study, patient and order are those of the image; series and instance derive from the result."""
    source, report = decode_header(header), build("flagged")
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "AccessionNumber", "StudyDate"):
        assert report[keyword].value == source[keyword].value
    assert report.SeriesInstanceUID == derive_uid("2.25.4711", "sr-series") != source.SeriesInstanceUID
    assert report.SOPInstanceUID == report.file_meta.MediaStorageSOPInstanceUID == derive_uid("2.25.4711", "sr")
    assert report.Modality == "SR"


@pytest.mark.parametrize(
    ("offset", "expected"), [("", "100000.250000"), ("+0530", "153000.250000"), ("x", "100000.250000")]
)
def test_times_come_from_the_result_in_the_zone_of_the_image(offset: str, expected: str, header: bytes) -> None:
    """Content and creation times are the result's, in the image's own zone where it states one, else in UTC."""
    source = decode_header(header)
    source.TimezoneOffsetFromUTC = offset
    report = build_sr(report_of("flagged", [source.SOPInstanceUID]), [encode_header(source)])
    assert (report.ContentDate, report.ContentTime) == ("20261120", expected)
    assert (report.InstanceCreationDate, report.InstanceCreationTime) == ("20261120", expected)
    assert report.get("TimezoneOffsetFromUTC", "") == (offset if offset == "+0530" else "")


def test_a_replaced_report_is_named(header: bytes) -> None:
    """The predecessor is the report of the earlier result, as it was sent."""
    uid = decode_header(header).SOPInstanceUID
    before = ReportForm.COMPREHENSIVE_3D_SR
    later = replace(report_of("flagged", [uid]), predecessor_result_uid="2.25.99", predecessor_form=before)
    report = build_sr(later, [header])
    series = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == derive_uid("2.25.99", "sr-series")
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == derive_uid("2.25.99", "sr")


def test_every_image_has_a_group_and_a_frame_is_named_where_there_are_several(tmp_path: Path) -> None:
    """Two frames of one object and one of another make three groups and two library entries."""
    single, multi = phantom_dataset(1, rows=8, columns=8), phantom_dataset(2, rows=8, columns=8)
    multi.SOPClassUID, multi.NumberOfFrames = MultiFrameGrayscaleWordSecondaryCaptureImageStorage, 2
    report = report_of("flagged", [single.SOPInstanceUID, multi.SOPInstanceUID, multi.SOPInstanceUID])
    images = [*report.images[:2], replace(report.images[2], frame=2)]
    built = build_sr(replace(report, images=images), [encode_header(single), encode_header(multi)])
    references = [item.ReferencedSOPSequence[0] for item in items_of(built) if item.ValueType == "IMAGE"]
    assert [reference.get("ReferencedFrameNumber") for reference in references] == [None, None, None, 1, 2]
    assert complaints(built, tmp_path) == []


@given(name=st.binary(min_size=1, max_size=40).filter(lambda b: not b.endswith((b" ", b"\0"))))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_name_in_the_wrong_character_set_keeps_its_bytes(name: bytes, header: bytes) -> None:
    """The report repeats the image's bytes, so that a PACS files both under one patient."""
    source = decode_header(header)
    padded = name + b" " * (len(name) % 2)
    for keyword, vr, value in (("SpecificCharacterSet", "CS", b"ISO_IR 999"), ("PatientName", "PN", padded)):
        source[Tag(keyword)] = RawDataElement(Tag(keyword), vr, len(value), value, 0, False, True)
    report = build_sr(report_of("flagged", [source.SOPInstanceUID]), [encode_header(source)])
    with pytest.warns(UserWarning, match="ISO_IR 999"):
        assert b"PN" + len(padded).to_bytes(2, "little") + padded in file_of(report)
