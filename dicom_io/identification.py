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

_TEXTS = ("AccessionNumber", "Manufacturer", "ManufacturerModelName")
_KEYWORDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", *_TEXTS)
_MAX_UID = 64  # PS3.5 9.1
# Waveform presentation states, newer than pydicom's dictionary (PS3.4 B.5).
_UNNAMED_WITHOUT_PIXELS = ("1.2.840.10008.5.1.4.1.1.9.100.1", "1.2.840.10008.5.1.4.1.1.9.100.2")


@dataclass(frozen=True, slots=True)
class Identification:
    r"""Who an object is.

    Attributes:
        reference: its UIDs.
        accession_number: at most 64 characters; a byte outside ASCII stands as `\xNN`, as character sets are not
            looked at here. None where the object has none.
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
    accession, *makers = (_undecoded(header, keyword) for keyword in _TEXTS)
    settle(header)
    reference = sop_instance_reference(header)
    for uid in (reference.study_instance_uid, reference.series_instance_uid, reference.sop_instance_uid):
        if len(uid) > _MAX_UID or not uid.isascii() or not uid.isprintable():
            raise MissingAttributeError("A UID is longer than 64 characters or not ASCII; have the sender repair it.")
    made_here = {maker.strip() for maker in makers} == {MANUFACTURER}
    return Identification(reference, _storable(accession), made_here=made_here)


def accession_number(header: Dataset) -> str | None:
    """Return the accession number as a text that every database takes, at most 64 characters; None without one."""
    with tolerant():
        return _storable(str(header.get("AccessionNumber") or ""))


def _storable(text: str) -> str | None:
    return "".join(filter(str.isprintable, text)).strip()[:64] or None  # PostgreSQL takes no NUL in a text


def _undecoded(header: Dataset, keyword: str) -> str:
    # Taken out before any value is converted: decoding it may need a character set that is wrong or does not exist.
    if keyword not in header:
        return ""
    value = header.get_item(keyword).value
    del header[keyword]
    return value.decode("ascii", "backslashreplace") if isinstance(value, bytes) else ""


def carries_pixels(sop_class_uid: str) -> bool:
    """Tell whether objects of a storage SOP class are images, by the standard's own naming (PS3.4 B.5).

    Structured reports, presentation states, key object selections, waveforms and the like are not.
    """
    keyword = UID(sop_class_uid).keyword
    return sop_class_uid not in _UNNAMED_WITHOUT_PIXELS and ("Image" in keyword or not keyword)
