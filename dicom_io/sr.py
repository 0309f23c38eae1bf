"""The DICOM object that carries a screening report: a Comprehensive 3D SR (PS3.3 A.35.13)."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from io import BytesIO

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import Comprehensive3DSR
from pydicom import Dataset, config
from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian
from pydicom.valuerep import validate_value

from dicom_io.errors import MissingAttributeError
from dicom_io.header import PATIENT_AND_STUDY, decode_header
from dicom_io.identity import sop_instance_reference
from dicom_io.part10 import tolerant
from dicom_io.report import MANUFACTURER, ScreeningReport, derive_uid
from dicom_io.sr_content import PRIVATE_SCHEME, build_content

SERIES_NUMBER = 9101
_FORMATTED_VRS = frozenset(("AS", "CS", "DA", "DS", "TM"))
_SPECIFIC_CHARACTER_SET = 0x00080005


def build_sr(report: ScreeningReport, headers: Sequence[bytes], newest: bytes | None = None) -> Dataset:
    """Build the structured report of a screening result.

    Args:
        report: what is stated.
        headers: source images, each encoded by `dicom_io.header.encode_header`. Without one the report speaks of the
            study alone.
        newest: the header that lends its patient and study attributes, byte for byte; None: the first one.

    Returns:
        A Comprehensive 3D SR with file meta, ready for `save_as` or C-STORE; the same arguments give the same bytes.

    Raises:
        MissingAttributeError: if there is no header at all, if the report names images and no header is one of
            theirs, or if a header lacks a UID.

    Source: DICOM PS3.3 A.35.13, PS3.16 TID 1500.
    """
    lender = newest or next(iter(headers), None)
    if lender is None:
        raise MissingAttributeError("A structured report needs the header of an image of its study; none was given.")
    with tolerant():
        document = _document(report, [decode_header(header) for header in headers], decode_header(lender))
        return _finish(document, decode_header(lender))


def _document(report: ScreeningReport, sources: Sequence[Dataset], lender: Dataset) -> Comprehensive3DSR:
    by_uid = {sop_instance_reference(source).sop_instance_uid: source for source in sources}
    if report.images and not any(image.sop_instance_uid in by_uid for image in report.images):
        raise MissingAttributeError("A structured report needs the header of an image it names; none was given.")
    created = report.created_at.astimezone(_time_zone(lender))
    document = Comprehensive3DSR(
        evidence=[_evidence(source, lender) for source in by_uid.values() or (lender,)],
        content=build_content(report, by_uid),
        series_instance_uid=derive_uid(report.result_uid, "sr-series", report.corrections),
        series_number=SERIES_NUMBER,
        series_description=describe(report),
        sop_instance_uid=derive_uid(report.result_uid, "sr", report.corrections),
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


def describe(report: ScreeningReport) -> str:
    """Return the Series Description, which a worklist can filter on."""
    if report.flagged:
        return "AI TRIAGE: HIGH"
    if report.withdrawn:
        return "AI TRIAGE: FLAG WITHDRAWN"
    return "AI TRIAGE: SCREENED" if report.reason is None else "AI TRIAGE: UNSCREENED"


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
    if report.predecessor_result_uid is None:
        return None
    predecessor = Dataset()
    predecessor.SOPClassUID = Comprehensive3DSRStorage
    uid, corrections = report.predecessor_result_uid, report.predecessor_corrections
    predecessor.SOPInstanceUID = derive_uid(uid, "sr", corrections)
    predecessor.SeriesInstanceUID = derive_uid(uid, "sr-series", corrections)
    predecessor.StudyInstanceUID = sop_instance_reference(source).study_instance_uid
    return [predecessor]


def _private_scheme() -> CodingSchemeIdentificationItem:
    return CodingSchemeIdentificationItem(
        designator=PRIVATE_SCHEME,
        name="cxr-triage statements on AI screening",
        responsible_organization="cxr-triage",
    )


def _time_zone(source: Dataset) -> tzinfo:
    """Return the zone of the source's dates, which the report's dates share (PS3.3 C.12.1.1.8); UTC if not stated."""
    return _parse_offset(str(source.get("TimezoneOffsetFromUTC") or "")) or UTC


def _parse_offset(text: str) -> tzinfo | None:
    if not re.fullmatch(r"[+-]\d{4}", text.strip()):
        return None
    try:
        return datetime.strptime(text.strip(), "%z").tzinfo
    except ValueError:
        return None


def _finish(document: Dataset, source: Dataset) -> Dataset:
    """Encode the document once and lay the source's patient and study attributes over it, as bytes."""
    encoded = DicomBytesIO()
    encoded.is_implicit_VR, encoded.is_little_endian = False, True
    write_dataset(encoded, document)
    report = read_dataset(BytesIO(encoded.getvalue()), is_implicit_VR=False, is_little_endian=True)
    for element in _repeated(source):
        report[element.tag] = element
    # Says that these bytes already are what they will be written as.
    if _SPECIFIC_CHARACTER_SET in report:
        report.set_original_encoding(False, True, convert_encodings(report[_SPECIFIC_CHARACTER_SET].value))
    report.file_meta = FileMetaDataset()
    report.file_meta.MediaStorageSOPClassUID = document.SOPClassUID
    report.file_meta.MediaStorageSOPInstanceUID = document.SOPInstanceUID
    report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return report


def _repeated(source: Dataset) -> Iterator[RawDataElement]:
    """Yield the patient and study attributes of the image as the report repeats them.

    Names, identifiers and descriptions keep their bytes, whatever they are. A date, time, age, size or sex that breaks
    the rules of its VR says nothing, and would make the report invalid: it is left out, as what is empty.
    """
    for keyword in PATIENT_AND_STUDY:
        tag = Tag(keyword)
        element: DataElement | RawDataElement | None = source.get_item(tag) if tag in source else None
        if isinstance(element, RawDataElement) and _is_usable(keyword, element):
            yield element if element.VR == "UI" else _space_padded(element)


def _is_usable(keyword: str, element: RawDataElement) -> bool:
    value = (element.value or b"").decode("ascii", "replace").rstrip("\0 ")
    if not value:
        return False
    if keyword == "TimezoneOffsetFromUTC":
        return _parse_offset(value) is not None
    if keyword == "PatientSex":
        return value in {"M", "F", "O"}
    if element.VR not in _FORMATTED_VRS or keyword == "SpecificCharacterSet":
        return True
    try:
        validate_value(str(element.VR), value, config.RAISE)
    except ValueError:
        return False
    return True


def _space_padded(element: RawDataElement) -> RawDataElement:
    """Return the element with trailing spaces instead of trailing NULs (PS3.5 6.2)."""
    value = (element.value or b"").rstrip(b"\0 ")
    value += b" " * (len(value) % 2)
    return element._replace(value=value, length=len(value))
