"""The structured report that carries a screening result: Comprehensive 3D SR, or Comprehensive SR (PS3.3 A.35)."""

from collections.abc import Sequence

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import Comprehensive3DSR, ComprehensiveSR
from pydicom import Dataset

from dicom_io.errors import MissingAttributeError
from dicom_io.header import decode_header
from dicom_io.identity import sop_instance_reference
from dicom_io.part10 import tolerant
from dicom_io.repeating import in_time_of, with_source_attributes
from dicom_io.report import MANUFACTURER, ReportForm, ScreeningReport, derive_uid, describe
from dicom_io.sr_content import PRIVATE_SCHEME, build_content

SERIES_NUMBER = 9101

_DOCUMENTS = {ReportForm.COMPREHENSIVE_3D_SR: Comprehensive3DSR, ReportForm.COMPREHENSIVE_SR: ComprehensiveSR}


def build_sr(
    report: ScreeningReport,
    headers: Sequence[bytes],
    newest: bytes | None = None,
    form: ReportForm = ReportForm.COMPREHENSIVE_3D_SR,
) -> Dataset:
    """Build the structured report of a screening result.

    Args:
        report: what is stated.
        headers: source images, each encoded by `dicom_io.header.encode_header`. Without one the report speaks of the
            study alone.
        newest: the header that lends its patient and study attributes, byte for byte; None: the first one.
        form: one of the structured ones; the content is the same in each.

    Returns:
        A structured report with file meta, ready for `save_as` or C-STORE; the same arguments give the same bytes.

    Raises:
        MissingAttributeError: if there is no header at all, if the report names images and no header is one of
            theirs, or if a header lacks a UID.

    Source: DICOM PS3.3 A.35.3, A.35.13, PS3.16 TID 1500.
    """
    lender = newest or next(iter(headers), None)
    if lender is None:
        raise MissingAttributeError("A structured report needs the header of an image of its study; none was given.")
    with tolerant():
        document = _document(report, form, [decode_header(header) for header in headers], decode_header(lender))
        return with_source_attributes(document, decode_header(lender))


def _document(
    report: ScreeningReport, form: ReportForm, sources: Sequence[Dataset], lender: Dataset
) -> Comprehensive3DSR | ComprehensiveSR:
    by_uid = {sop_instance_reference(source).sop_instance_uid: source for source in sources}
    if report.images and not any(image.sop_instance_uid in by_uid for image in report.images):
        raise MissingAttributeError("A structured report needs the header of an image it names; none was given.")
    created = in_time_of(lender, report.created_at)
    document = _DOCUMENTS[form](
        evidence=[_evidence(source, lender) for source in by_uid.values() or (lender,)],
        content=build_content(report, by_uid),
        series_instance_uid=derive_uid(report.result_uid, f"{form.kind}-series", report.corrections),
        series_number=SERIES_NUMBER,
        series_description=describe(report),
        sop_instance_uid=derive_uid(report.result_uid, form.kind, report.corrections),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=f"{report.model_name} {report.model_version}",
        is_complete=report.complete,
        is_final=False,
        is_verified=False,
        previous_versions=_predecessors(report, lender),
        coding_schemes=[_private_scheme()],
        series_date=created.date(),
        series_time=created.time(),
        content_date=created.date(),
        content_time=created.time(),
    )
    document.InstanceCreationDate, document.InstanceCreationTime = document.ContentDate, document.ContentTime
    # highdicom names its own version here, which would change the bytes of an object sent again after an update.
    del document.ContributingEquipmentSequence
    if not by_uid:
        del document.CurrentRequestedProcedureEvidenceSequence
    return document


def _evidence(source: Dataset, first: Dataset) -> Dataset:
    """Return what highdicom wants to know of a source image, with empty patient and study attributes."""
    evidence = Dataset()
    reference = sop_instance_reference(source)
    evidence.SOPClassUID, evidence.SOPInstanceUID = reference.sop_class_uid, reference.sop_instance_uid
    evidence.StudyInstanceUID = sop_instance_reference(first).study_instance_uid
    evidence.SeriesInstanceUID = reference.series_instance_uid
    for keyword in ("PatientID", "PatientName", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(evidence, keyword, "")
    for keyword in ("PatientBirthDate", "StudyDate", "StudyTime"):
        setattr(evidence, keyword, None)
    return evidence


def _predecessors(report: ScreeningReport, source: Dataset) -> list[Dataset] | None:
    """Return the replaced report, as it was sent; a picture is no SR document, and is not named (PS3.3 C.17.2)."""
    uid, corrections, form = report.predecessor_result_uid, report.predecessor_corrections, report.predecessor_form
    if uid is None or form is None or not form.is_structured:
        return None
    predecessor = Dataset()
    predecessor.SOPClassUID = form.sop_class_uid
    predecessor.SOPInstanceUID = derive_uid(uid, form.kind, corrections)
    predecessor.SeriesInstanceUID = derive_uid(uid, f"{form.kind}-series", corrections)
    predecessor.StudyInstanceUID = sop_instance_reference(source).study_instance_uid
    return [predecessor]


def _private_scheme() -> CodingSchemeIdentificationItem:
    return CodingSchemeIdentificationItem(
        designator=PRIVATE_SCHEME,
        name="cxr-triage statements on AI screening",
        responsible_organization="cxr-triage",
    )
