"""Laying the patient and study attributes of an image over an object that is made of it, byte for byte."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from io import BytesIO

from pydicom import Dataset, config
from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import validate_value

from dicom_io.header import PATIENT_AND_STUDY

_FORMATTED_VRS = frozenset(("AS", "CS", "DA", "DS", "TM"))
_SPECIFIC_CHARACTER_SET = 0x00080005


def with_source_attributes(document: Dataset, source: Dataset) -> Dataset:
    """Encode an object once, and lay the patient and study attributes of its source over it, as bytes.

    Names, identifiers and descriptions keep their bytes, whatever they are. A date, time, age, size or sex that breaks
    the rules of its VR says nothing, and would make the object invalid: it is left out, as what is empty.

    Args:
        document: valid by itself, its text ASCII; SOP Class and Instance UID are set.
        source: as `dicom_io.header.decode_header` returns it, freshly: text that was accessed before is decoded, and
            left out.

    Returns:
        The object with file meta, Explicit VR Little Endian, ready for `save_as` or C-STORE within
        `dicom_io.part10.tolerant`; the same arguments give the same bytes.

    Source: DICOM PS3.3 C.7.1.1, C.7.2.1, C.7.2.2.
    """
    encoded = DicomBytesIO()
    encoded.is_implicit_VR, encoded.is_little_endian = False, True
    write_dataset(encoded, document)
    laid = read_dataset(BytesIO(encoded.getvalue()), is_implicit_VR=False, is_little_endian=True)
    for element in _repeated(source):
        laid[element.tag] = element
    # Says that these bytes already are what they will be written as.
    if _SPECIFIC_CHARACTER_SET in laid:
        laid.set_original_encoding(False, True, convert_encodings(laid[_SPECIFIC_CHARACTER_SET].value))
    laid.file_meta = FileMetaDataset()
    laid.file_meta.MediaStorageSOPClassUID = document.SOPClassUID
    laid.file_meta.MediaStorageSOPInstanceUID = document.SOPInstanceUID
    laid.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return laid


def in_time_of(source: Dataset, moment: datetime) -> datetime:
    """Return a moment in the zone of the source's dates, which those of the object share; in UTC if none is stated.

    Source: DICOM PS3.3 C.12.1.1.8.
    """
    return moment.astimezone(_parse_offset(str(source.get("TimezoneOffsetFromUTC") or "")) or UTC)


def _parse_offset(text: str) -> tzinfo | None:
    if not re.fullmatch(r"[+-]\d{4}", text.strip()):
        return None
    try:
        return datetime.strptime(text.strip(), "%z").tzinfo
    except ValueError:
        return None


def _repeated(source: Dataset) -> Iterator[RawDataElement]:
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
