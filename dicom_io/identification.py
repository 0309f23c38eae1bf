"""What the listener must know of an object before it can take it; nothing is decoded, pixels are not touched."""

import io
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from dicom_io.errors import MissingAttributeError
from dicom_io.identity import sop_instance_reference
from dicom_io.part10 import inflate, read_data_set, settle
from dicom_io.types import SOPInstanceReference

_KEYWORDS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "AccessionNumber",
    "StudyInstanceUID",
    "SeriesInstanceUID",
)
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
    """

    reference: SOPInstanceReference
    accession_number: str | None


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
    accession_number = _accession_number(header)
    settle(header)
    reference = sop_instance_reference(header)
    for uid in (reference.study_instance_uid, reference.series_instance_uid, reference.sop_instance_uid):
        if len(uid) > _MAX_UID or not uid.isascii() or not uid.isprintable():
            raise MissingAttributeError("A UID is longer than 64 characters or not ASCII; have the sender repair it.")
    return Identification(reference, accession_number)


def _accession_number(header: Dataset) -> str | None:
    # Taken out before any value is converted: decoding it may need a character set that is wrong or does not exist.
    if "AccessionNumber" not in header:
        return None
    value = header.get_item("AccessionNumber").value
    del header["AccessionNumber"]
    text = value.decode("ascii", "backslashreplace") if isinstance(value, bytes) else ""
    return "".join(filter(str.isprintable, text)).strip()[:64] or None  # PostgreSQL takes no NUL in a text


def carries_pixels(sop_class_uid: str) -> bool:
    """Tell whether objects of a storage SOP class are images, by the standard's own naming (PS3.4 B.5).

    Structured reports, presentation states, key object selections, waveforms and the like are not.
    """
    keyword = UID(sop_class_uid).keyword
    return sop_class_uid not in _UNNAMED_WITHOUT_PIXELS and ("Image" in keyword or not keyword)
