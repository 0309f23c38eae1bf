"""The structured report: valid whatever the film's header lacks, and stating no more than it may."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
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
from dicom_io.reasons import Reason
from dicom_io.report import ScreenedImage, ScreeningReport, derive_uid
from dicom_io.sr import build_sr
from tests.servers.programs import require_program

IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
KINDS = ("flagged", "screened", "unscreened")


def _report(kind: str, uids: Sequence[str]) -> ScreeningReport:
    reason = Reason.UNSUPPORTED_TRANSFER_SYNTAX if kind == "unscreened" else None
    images = [
        ScreenedImage(
            sop_instance_uid=uid,
            frame=1,
            reason=reason,
            flagged=kind == "flagged",
            probability=None if reason else 0.93456,
            threshold=None if reason else 0.3125,
        )
        for uid in uids
    ]
    return ScreeningReport(
        result_uid="2.25.4711",
        predecessor_result_uid=None,
        complete=kind != "flagged",
        reason=reason,
        flagged=kind == "flagged",
        warnings=("age outside the model's",),
        images=images,
        model_name="resnet50",
        model_version="1.0.0",
        model_sha256="5e" * 32,
        created_at=datetime(2026, 11, 20, 10, 0, 0, 250_000, tzinfo=UTC),
    )


def _file(dataset: Dataset) -> bytes:
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _complaints(dataset: Dataset, folder: Path) -> list[str]:
    """What dciodvfy and dsrdump have against the object."""
    path = folder / "sr.dcm"
    path.write_bytes(_file(dataset))
    verdict = subprocess.run(
        [require_program("dciodvfy", "dicom3tools"), "-new", path], capture_output=True, text=True, check=False
    )
    dump = subprocess.run([require_program("dsrdump", "dcmtk"), path], capture_output=True, text=True, check=False)
    errors = [line for line in verdict.stderr.splitlines() if line.startswith("Error")]
    # Its other warnings are about character sets that its own checker does not know.
    errors += [line for line in dump.stderr.splitlines() if line[:2] in {"E:", "F:"} or "violates" in line]
    return [*errors, *(["dsrdump failed"] if dump.returncode else [])]


def _items(dataset: Dataset) -> Iterator[Dataset]:
    for item in dataset.get("ContentSequence", []):
        yield item
        yield from _items(item)


def _codes(dataset: Dataset) -> set[str]:
    """The code values, short and long, of every coded statement and of every concept name."""
    found = set()
    for item in _items(dataset):
        for sequence in ("ConceptNameCodeSequence", "ConceptCodeSequence"):
            for code in item.get(sequence, []):
                found.add(str(code.get("CodeValue") or code.LongCodeValue))
    return found


@pytest.fixture(scope="module")
def header() -> bytes:
    """The header of a phantom."""
    return encode_header(phantom_dataset(1, kind="CR", rows=8, columns=8, accession_number="ACC1"))


@pytest.fixture
def build(header: bytes) -> Callable[[str], Dataset]:
    """Call it with a kind of result for its report."""
    return lambda kind: build_sr(_report(kind, [decode_header(header).SOPInstanceUID]), [header])


@pytest.mark.parametrize("kind", KINDS)
def test_every_real_file_gets_a_valid_report(kind: str, shared_data: Path, tmp_path: Path) -> None:
    """Neither dciodvfy nor dsrdump has anything against the report of any real file, whatever it lacks."""
    for path in sorted((shared_data / "dicom").rglob("*.dcm")):
        header = encode_header(dcmread(path, stop_before_pixels=True))
        report = build_sr(_report(kind, [decode_header(header).SOPInstanceUID]), [header])
        assert _complaints(report, tmp_path) == [], path.name


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
    report = build_sr(_report(data.draw(st.sampled_from(KINDS)), [full.SOPInstanceUID]), [encode_header(full)])
    assert _complaints(report, tmp_path) == []


@pytest.mark.parametrize("keyword", IDENTITY)
def test_an_image_without_identity_gets_no_report(keyword: str, header: bytes) -> None:
    """A report that could not name its image is refused with the attribute's name."""
    source = decode_header(header)
    uid = source.SOPInstanceUID
    del source[Tag(keyword)]
    with pytest.raises(MissingAttributeError, match=keyword):
        build_sr(_report("flagged", [uid]), [encode_header(source)])


def test_a_result_without_dicom_images_gets_no_report(header: bytes) -> None:
    """Neither no header nor headers of other images make a report."""
    with pytest.raises(MissingAttributeError):
        build_sr(_report("flagged", ["2.25.1"]), [])
    with pytest.raises(MissingAttributeError):
        build_sr(_report("flagged", ["2.25.1"]), [header])


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_result_is_the_same_object(kind: str, build: Callable[[str], Dataset]) -> None:
    """Built twice, it has the same bytes."""
    assert _file(build(kind)) == _file(build(kind))


def test_a_flagged_report_says_suspected_with_its_certainty(build: Callable[[str], Dataset]) -> None:
    """Pneumonia, suspected, at 93.46 %, high priority; and never final."""
    report = build("flagged")
    assert {"233604007", "415684004", "high", "interim", "screened"} <= _codes(report)
    (certainty,) = [item for item in _items(report) if item.ValueType == "NUM"]
    assert certainty.ConceptNameCodeSequence[0].CodeValue == "111012"
    assert certainty.MeasuredValueSequence[0].NumericValue == 93.46
    assert certainty.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == "%"
    assert report.SeriesDescription == "AI TRIAGE: HIGH"
    assert (report.CompletionFlag, report.PreliminaryFlag) == ("PARTIAL", "PRELIMINARY")
    assert report.VerificationFlag == "UNVERIFIED"
    texts = {item.TextValue for item in _items(report) if item.ValueType == "TEXT"}
    assert {"resnet50", "1.0.0", "threshold = 0.3125", "age outside the model's"} <= texts


def test_an_unflagged_report_states_neither_probability_nor_absence(build: Callable[[str], Dataset]) -> None:
    """It says that and by which model the study was screened, and nothing of a finding."""
    report = build("screened")
    assert report.SeriesDescription == "AI TRIAGE: SCREENED"
    assert (report.CompletionFlag, report.PreliminaryFlag) == ("COMPLETE", "PRELIMINARY")
    assert {"screened", "complete"} <= _codes(report)
    assert not {"233604007", "415684004", "111012", "121071", "high"} & _codes(report)
    assert all(item.ValueType != "NUM" for item in _items(report))
    assert "resnet50" in {item.TextValue for item in _items(report) if item.ValueType == "TEXT"}
    assert b"0.93" not in _file(report)
    assert b"normal" not in _file(report).lower()


def test_an_unscreened_report_gives_the_reason(build: Callable[[str], Dataset]) -> None:
    """It carries the reason code of the JSON flag, long as it is, and no finding."""
    report = build("unscreened")
    assert report.SeriesDescription == "AI TRIAGE: UNSCREENED"
    assert {"unscreened", "unsupported-transfer-syntax"} <= _codes(report)
    assert not {"screened", "233604007", "111012"} & _codes(report)


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
    report = build_sr(_report("flagged", [source.SOPInstanceUID]), [encode_header(source)])
    assert (report.ContentDate, report.ContentTime) == ("20261120", expected)
    assert (report.InstanceCreationDate, report.InstanceCreationTime) == ("20261120", expected)
    assert report.get("TimezoneOffsetFromUTC", "") == (offset if offset == "+0530" else "")


def test_a_replaced_report_is_named(header: bytes) -> None:
    """The predecessor is the report of the earlier result."""
    uid = decode_header(header).SOPInstanceUID
    report = build_sr(replace(_report("flagged", [uid]), predecessor_result_uid="2.25.99"), [header])
    series = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == derive_uid("2.25.99", "sr-series")
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == derive_uid("2.25.99", "sr")


def test_every_image_has_a_group_and_a_frame_is_named_where_there_are_several(tmp_path: Path) -> None:
    """Two frames of one object and one of another make three groups and two library entries."""
    single, multi = phantom_dataset(1, rows=8, columns=8), phantom_dataset(2, rows=8, columns=8)
    multi.SOPClassUID, multi.NumberOfFrames = MultiFrameGrayscaleWordSecondaryCaptureImageStorage, 2
    report = _report("flagged", [single.SOPInstanceUID, multi.SOPInstanceUID, multi.SOPInstanceUID])
    images = [*report.images[:2], replace(report.images[2], frame=2)]
    built = build_sr(replace(report, images=images), [encode_header(single), encode_header(multi)])
    references = [item.ReferencedSOPSequence[0] for item in _items(built) if item.ValueType == "IMAGE"]
    assert [reference.get("ReferencedFrameNumber") for reference in references] == [None, None, None, 1, 2]
    assert _complaints(built, tmp_path) == []


def test_a_withdrawn_report_says_so_and_cannot_be_read_as_normal(header: bytes, tmp_path: Path) -> None:
    """The title and two coded statements tell of the withdrawal; no finding, certainty or priority is left."""
    flagged = _report("flagged", [decode_header(header).SOPInstanceUID])
    images = [replace(image, flagged=False, withdrawn=True) for image in flagged.images]
    report = build_sr(replace(flagged, flagged=False, withdrawn=True, images=images), [header])
    assert report.SeriesDescription == "AI TRIAGE: FLAG WITHDRAWN"
    withdrawn = [
        i for i in _items(report) if i.ValueType == "CODE" and i.ConceptCodeSequence[0].CodeValue == "withdrawn"
    ]
    assert len(withdrawn) == 2
    assert not {"233604007", "415684004", "111012", "high"} & _codes(report)
    assert b"normal" not in _file(report).lower()
    assert _complaints(report, tmp_path) == []


def test_a_study_that_is_raised_again_keeps_the_mark_of_the_old_film(header: bytes) -> None:
    """HIGH for the new film; the withdrawn one states no finding."""
    other = phantom_dataset(2, kind="CR", rows=8, columns=8)
    old, new = _report("flagged", [decode_header(header).SOPInstanceUID, other.SOPInstanceUID]).images
    images = [replace(old, flagged=False, withdrawn=True), new]
    report = build_sr(replace(_report("flagged", []), images=images), [header, encode_header(other)])
    assert report.SeriesDescription == "AI TRIAGE: HIGH"
    assert {"withdrawn", "high", "233604007"} <= _codes(report)
    assert len([item for item in _items(report) if item.ValueType == "NUM"]) == 1


@pytest.mark.parametrize("corrections", [0, 1])
def test_a_study_without_an_image_gets_a_valid_report(corrections: int, header: bytes, tmp_path: Path) -> None:
    """All were rejected: patient and study are those of the newest header, and no image is named."""
    unscreened = replace(_report("unscreened", []), reason=Reason.REJECTED, corrections=corrections)
    report = build_sr(unscreened, [], header)
    assert report.PatientID == decode_header(header).PatientID
    assert {"unscreened", "rejected"} <= _codes(report)
    assert all(item.ValueType != "IMAGE" for item in _items(report))
    assert _complaints(report, tmp_path) == []


def test_the_newest_header_lends_patient_and_study_and_a_correction_another_name(header: bytes) -> None:
    """Content and evidence stay; patient, instance and series are other ones, and the predecessor keeps its own."""
    newest = decode_header(header)
    uid = newest.SOPInstanceUID
    newest.PatientID, newest.SOPInstanceUID, newest.TimezoneOffsetFromUTC = "P2", "2.25.77", "+0100"
    changed = replace(
        _report("flagged", [uid]), corrections=2, predecessor_result_uid="2.25.99", predecessor_corrections=1
    )
    before, after = build_sr(_report("flagged", [uid]), [header]), build_sr(changed, [header], encode_header(newest))
    assert after.PatientID == "P2"
    assert (after.SOPInstanceUID, after.SeriesInstanceUID) == (
        derive_uid("2.25.4711", "sr", 2),
        derive_uid("2.25.4711", "sr-series", 2),
    )
    assert after.SOPInstanceUID != before.SOPInstanceUID
    assert after.ContentTime == "110000.250000"
    series = after.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == derive_uid("2.25.99", "sr", 1)
    assert after.CurrentRequestedProcedureEvidenceSequence == before.CurrentRequestedProcedureEvidenceSequence


@given(name=st.binary(min_size=1, max_size=40).filter(lambda b: not b.endswith((b" ", b"\0"))))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_name_in_the_wrong_character_set_keeps_its_bytes(name: bytes, header: bytes) -> None:
    """The report repeats the image's bytes, so that a PACS files both under one patient."""
    source = decode_header(header)
    padded = name + b" " * (len(name) % 2)
    for keyword, vr, value in (("SpecificCharacterSet", "CS", b"ISO_IR 999"), ("PatientName", "PN", padded)):
        source[Tag(keyword)] = RawDataElement(Tag(keyword), vr, len(value), value, 0, False, True)
    report = build_sr(_report("flagged", [source.SOPInstanceUID]), [encode_header(source)])
    with pytest.warns(UserWarning, match="ISO_IR 999"):
        assert b"PN" + len(padded).to_bytes(2, "little") + padded in _file(report)
