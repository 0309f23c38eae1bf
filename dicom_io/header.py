"""The part of an image's data set that reports about the image need later: small, without pixels, kept in SQL.

Text stays the bytes it was. Only the sender knows what a value in a wrong character set was meant to say; a report
that repeats the bytes is filed with the image, a report that repairs them may be filed with nobody.
"""

import struct
from io import BytesIO

from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_data_element
from pydicom.tag import BaseTag, Tag

from dicom_io.part10 import tolerant

MAX_HEADER_BYTES = 64 << 10

# What a report about the image repeats: PS3.3 C.7.1.1, C.7.2.1, C.7.2.2. Text, no sequences.
PATIENT_AND_STUDY = (
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
    "AdmissionID",
    "TimezoneOffsetFromUTC",
)
# PS3.3 C.7.3.1, C.7.5.1, C.7.6.1, C.12.1; orders: C.7.3.1.1.1, C.4.11, C.4.12
_SERIES_AND_IMAGE = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "SeriesNumber",
    "SeriesDescription",
    "SeriesDate",
    "SeriesTime",
    "ProtocolName",
    "BodyPartExamined",
    "ViewPosition",
    "Laterality",
    "ImageLaterality",
    "IssuerOfPatientIDQualifiersSequence",
    "OtherPatientIDsSequence",
    "IssuerOfAccessionNumberSequence",
    "IssuerOfAdmissionIDSequence",
    "ProcedureCodeSequence",
    "RequestAttributesSequence",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
    "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest",
    "Manufacturer",
    "ManufacturerModelName",
    "InstitutionName",
    "InstitutionalDepartmentName",
    "StationName",
    "InstanceNumber",
    "AcquisitionDate",
    "AcquisitionTime",
    "ContentDate",
    "ContentTime",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "ImagerPixelSpacing",
    "PixelSpacing",
    "PatientOrientation",
    "BurnedInAnnotation",
    "LossyImageCompression",
)

_IDENTIFYING = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_TEXT_VRS = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UT"))
_LONG_VRS = frozenset(("SQ", "UC", "UT"))  # of the kept ones, those with a length of 32 bits (PS3.5 7.1.2)
_LONGEST_VALUE = 4096
_DEEPEST_SEQUENCE = 3
# What a broken value can raise inside pydicom.
_FAULTS = (
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


def encode_header(dataset: Dataset) -> bytes:
    """Encode what reports need of an image's data set.

    Args:
        dataset: freshly read, in any transfer syntax, with or without pixels. Text that was accessed before has been
            decoded by pydicom, which loses bytes where the character set is wrong.

    Returns:
        A data set in Explicit VR Little Endian without file meta, at most `MAX_HEADER_BYTES` long: patient, study,
        series, equipment and image attributes. Values above 4096 bytes, broken sequences, and what does not fit any
        more are left out; the UIDs always fit.

    Source: DICOM PS3.5 7.1.2.
    """
    with tolerant():
        wanted = [*_IDENTIFYING, *(k for k in (*PATIENT_AND_STUDY, *_SERIES_AND_IMAGE) if k not in _IDENTIFYING)]
        elements: dict[int, bytes] = {}
        room = MAX_HEADER_BYTES
        for tag in map(Tag, wanted):
            encoded = _element(dataset, tag, _character_sets(dataset), _DEEPEST_SEQUENCE)
            if encoded and len(encoded) <= room:
                elements[tag] = encoded
                room -= len(encoded)
    return b"".join(elements[tag] for tag in sorted(elements))


def decode_header(encoded: bytes) -> Dataset:
    """Read what `encode_header` wrote.

    Returns:
        A data set whose text is decoded only when it is accessed.
    """
    with tolerant():
        return read_dataset(BytesIO(encoded), is_implicit_VR=False, is_little_endian=True)


def changed_attributes(before: bytes, after: bytes) -> list[str]:
    """Name the patient and study attributes whose bytes differ between two encoded headers, but for padding.

    Returns:
        Keywords in the order of `PATIENT_AND_STUDY`; no values.
    """
    first, second = decode_header(before), decode_header(after)
    return [keyword for keyword in PATIENT_AND_STUDY if _stated(first, keyword) != _stated(second, keyword)]


def _stated(header: Dataset, keyword: str) -> bytes:
    tag = Tag(keyword)
    element: DataElement | RawDataElement | None = header.get_item(tag) if tag in header else None
    return (element.value or b"").rstrip(b"\0 ") if isinstance(element, RawDataElement) else b""


def _character_sets(dataset: Dataset) -> str | list[str]:
    """Return the terms of Specific Character Set, as pydicom's writer wants them."""
    terms = dataset.get("SpecificCharacterSet") or "ISO_IR 6"
    return terms if isinstance(terms, str) else list(terms)


def _element(dataset: Dataset, tag: BaseTag, character_sets: str | list[str], depth: int) -> bytes:
    """Encode one element; empty if it is absent, of no kept kind, too long or broken."""
    vr = dictionary_VR(tag)
    try:
        if tag not in dataset:
            return b""
        value = _items(dataset, tag, character_sets, depth) if vr == "SQ" else _value(dataset, tag, vr, character_sets)
    except _FAULTS:
        return b""
    head = struct.pack("<HH2s", tag.group, tag.element, vr.encode())
    if vr != "SQ" and len(value) > _LONGEST_VALUE:
        return b""
    return head + struct.pack(*(("<HI", 0) if vr in _LONG_VRS else ("<H",)), len(value)) + value


def _value(dataset: Dataset, tag: BaseTag, vr: str, character_sets: str | list[str]) -> bytes:
    """Return the value of a text or US element, padded to even length; raw text as it is."""
    element: DataElement | RawDataElement = dataset.get_item(tag)
    if not isinstance(element, RawDataElement):
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, True
        write_data_element(buffer, element, character_sets)
        return bytes(buffer.getvalue()[8:])
    value = element.value or b""
    if vr in _TEXT_VRS:
        return value + (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    return struct.pack("<H", struct.unpack("<H" if element.is_little_endian else ">H", value)[0])


def _items(dataset: Dataset, tag: BaseTag, character_sets: str | list[str], depth: int) -> bytes:
    """Encode the items of a sequence with their public text and US elements."""
    if depth == 0:
        return b""
    encoded = []
    for item in dataset[tag].value:
        own = _character_sets(item) if "SpecificCharacterSet" in item else character_sets
        kept = [t for t in sorted(item.keys()) if not t.is_private and _is_kept(t)]
        body = b"".join(_element(item, t, own, depth - 1) for t in kept)
        encoded.append(struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body)
    return b"".join(encoded)


def _is_kept(tag: BaseTag) -> bool:
    try:
        return dictionary_VR(tag) in _TEXT_VRS | {"SQ", "US"}
    except KeyError:
        return False
