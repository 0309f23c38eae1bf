"""What the listener must know of an object before it can take it; nothing is decoded, pixels are not touched."""

import io
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from dicom_io.errors import MissingAttributeError
from dicom_io.identity import sop_instance_reference
from dicom_io.part10 import inflate, read_data_set, settle, tolerant
from dicom_io.report import MANUFACTURER
from dicom_io.types import SOPInstanceReference

_KEYWORDS = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "AccessionNumber",
    "Manufacturer",
    "ManufacturerModelName",
    "StudyInstanceUID",
    "SeriesInstanceUID",
)
_MAX_UID = 64  # PS3.5 9.1
# Waveform presentation states, newer than pydicom's dictionary (PS3.4 B.5).
_UNNAMED_WITHOUT_PIXELS = ("1.2.840.10008.5.1.4.1.1.9.100.1", "1.2.840.10008.5.1.4.1.1.9.100.2")


@dataclass(frozen=True, slots=True)
class Identification:
    """Who an object is.

    Attributes:
        accession_number: None where the object has none.
        made_here: whether it is one of our own that comes back.
    """

    reference: SOPInstanceReference
    accession_number: str | None
    made_here: bool = False


def identify(data_set: memoryview, transfer_syntax_uid: str) -> Identification:
    """Read the identity of an encoded data set.

    Args:
        data_set: as a C-STORE request carries it, without file meta.
        transfer_syntax_uid: of the presentation context.

    Raises:
        MissingAttributeError: if a UID is absent, empty or not a UID.
        TruncatedDataError: if the data set ends inside an element before the pixel data.
        UnsupportedObjectError: if it cannot be parsed.
    """
    body = inflate(data_set) if transfer_syntax_uid == DeflatedExplicitVRLittleEndian else data_set
    header = read_data_set(io.BytesIO(body), transfer_syntax_uid, _KEYWORDS)
    settle(header)
    reference = sop_instance_reference(header)
    for uid in (reference.study_instance_uid, reference.series_instance_uid, reference.sop_instance_uid):
        if len(uid) > _MAX_UID or not uid.isascii() or not uid.isprintable():
            raise MissingAttributeError("A UID is longer than 64 characters or not ASCII; have the sender repair it.")
    with tolerant():
        makers = {str(header.get(keyword) or "").strip() for keyword in ("Manufacturer", "ManufacturerModelName")}
    return Identification(reference, accession_number(header), made_here=makers == {MANUFACTURER})


def accession_number(header: Dataset) -> str | None:
    """Return the accession number as a text that every database takes, at most 64 characters; None without one."""
    with tolerant():
        text = str(header.get("AccessionNumber") or "")
    printable = "".join(filter(str.isprintable, text)).strip()  # PostgreSQL takes no NUL in a text
    return printable[:64] or None


def carries_pixels(sop_class_uid: str) -> bool:
    """Tell whether objects of a storage SOP class are images, by the standard's own naming (PS3.4 B.5).

    Structured reports, presentation states, key object selections, waveforms and the like are not.
    """
    keyword = UID(sop_class_uid).keyword
    return sop_class_uid not in _UNNAMED_WITHOUT_PIXELS and ("Image" in keyword or not keyword)
