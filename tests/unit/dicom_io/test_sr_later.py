"""The structured report of what was corrected later: withdrawn flags, rejected images, another patient."""

from dataclasses import replace
from pathlib import Path

import pytest

from dicom_io.header import decode_header, encode_header
from dicom_io.phantom import phantom_dataset
from dicom_io.reasons import Reason
from dicom_io.report import ReportForm, derive_uid
from dicom_io.sr import build_sr
from tests.reports import codes_of, complaints, file_of, items_of, report_of


@pytest.fixture(scope="module")
def header() -> bytes:
    """The header of a phantom."""
    return encode_header(phantom_dataset(1, kind="CR", rows=8, columns=8, accession_number="ACC1"))


def test_a_withdrawn_report_says_so_and_cannot_be_read_as_normal(header: bytes, tmp_path: Path) -> None:
    """The title and two coded statements tell of the withdrawal; no finding, certainty or priority is left."""
    flagged = report_of("flagged", [decode_header(header).SOPInstanceUID])
    images = [replace(image, flagged=False, withdrawn=True) for image in flagged.images]
    report = build_sr(replace(flagged, flagged=False, withdrawn=True, images=images), [header])
    assert report.SeriesDescription == "AI TRIAGE: FLAG WITHDRAWN"
    withdrawn = [
        i for i in items_of(report) if i.ValueType == "CODE" and i.ConceptCodeSequence[0].CodeValue == "withdrawn"
    ]
    assert len(withdrawn) == 2
    assert not {"233604007", "415684004", "111012", "high"} & codes_of(report)
    assert b"normal" not in file_of(report).lower()
    assert complaints(report, tmp_path) == []


def test_a_study_that_is_raised_again_keeps_the_mark_of_the_old_film(header: bytes) -> None:
    """HIGH for the new film; the withdrawn one states no finding."""
    other = phantom_dataset(2, kind="CR", rows=8, columns=8)
    old, new = report_of("flagged", [decode_header(header).SOPInstanceUID, other.SOPInstanceUID]).images
    images = [replace(old, flagged=False, withdrawn=True), new]
    report = build_sr(replace(report_of("flagged", []), images=images), [header, encode_header(other)])
    assert report.SeriesDescription == "AI TRIAGE: HIGH"
    assert {"withdrawn", "high", "233604007"} <= codes_of(report)
    assert len([item for item in items_of(report) if item.ValueType == "NUM"]) == 1


@pytest.mark.parametrize("corrections", [0, 1])
def test_a_study_without_an_image_gets_a_valid_report(corrections: int, header: bytes, tmp_path: Path) -> None:
    """All were rejected: patient and study are those of the newest header, and no image is named."""
    unscreened = replace(report_of("unscreened", []), reason=Reason.REJECTED, corrections=corrections)
    report = build_sr(unscreened, [], header)
    assert report.PatientID == decode_header(header).PatientID
    assert {"unscreened", "rejected"} <= codes_of(report)
    assert all(item.ValueType != "IMAGE" for item in items_of(report))
    assert complaints(report, tmp_path) == []


def test_the_newest_header_lends_patient_and_study_and_a_correction_another_name(header: bytes) -> None:
    """Content and evidence stay; patient, instance and series are other ones, and the predecessor keeps its own."""
    newest = decode_header(header)
    uid = newest.SOPInstanceUID
    newest.PatientID, newest.SOPInstanceUID, newest.TimezoneOffsetFromUTC = "P2", "2.25.77", "+0100"
    changed = replace(
        report_of("flagged", [uid]),
        corrections=2,
        predecessor_result_uid="2.25.99",
        predecessor_corrections=1,
        predecessor_form=ReportForm.COMPREHENSIVE_3D_SR,
    )
    before, after = build_sr(report_of("flagged", [uid]), [header]), build_sr(changed, [header], encode_header(newest))
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
