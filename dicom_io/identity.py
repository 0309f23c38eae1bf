"""Who an object is: its UIDs, and the hash of its content."""

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset
from pydicom.multival import MultiValue

from dicom_io.errors import MissingAttributeError, TruncatedDataError
from dicom_io.types import SOPInstanceReference

PREAMBLE_LENGTH = 132  # 128 bytes and "DICM", PS3.10 7.1
_META_GROUP = b"\x02\x00"
_TRANSFER_SYNTAX_TAG = b"\x02\x00\x10\x00"
_LONG_LENGTH_VRS = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
_HEAD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What the file meta information (PS3.10 7.1) says about the bytes after it.

    Attributes:
        length: bytes before the data set; 0 for a PNG, a JPEG or a data set stored without meta.
        transfer_syntax_uid: None where the file does not say.
    """

    length: int
    transfer_syntax_uid: str | None


def file_meta(head: bytes | memoryview) -> FileMeta:
    """Find where the data set begins.

    Args:
        head: the beginning of the file, long enough to hold the file meta information.

    Raises:
        TruncatedDataError: if the file meta information runs past the end of `head`.

    Source: PS3.10 7.1, PS3.5 7.1. The elements are walked, because real files lie about the group length.
    """
    view = memoryview(head)
    if bytes(view[128:PREAMBLE_LENGTH]) == b"DICM":
        position = PREAMBLE_LENGTH
    elif bytes(view[:2]) == _META_GROUP:
        position = 0
    else:
        return FileMeta(0, None)
    syntax = None
    while bytes(view[position : position + 2]) == _META_GROUP:
        tag = bytes(view[position : position + 4])
        start, end = _value_bounds(view, position)
        if end > len(view):
            raise TruncatedDataError("The file meta information is cut off; send the object again.")
        if tag == _TRANSFER_SYNTAX_TAG:
            syntax = bytes(view[start:end]).rstrip(b"\0 ").decode("ascii", "replace")
        position = end
    return FileMeta(position, syntax)


@dataclass(frozen=True, slots=True)
class Content:
    """What identifies the content of a file, and how it is encoded.

    Attributes:
        sha256: see `content_sha256`.
        length: bytes that it is the hash of.
        transfer_syntax_uid: None where the file does not say.
    """

    sha256: str
    length: int
    transfer_syntax_uid: str | None


def read_content(path: Path) -> Content:
    """Read a file in pieces and say what it holds.

    Args:
        path: a DICOM, PNG or JPEG file of any size.

    Raises:
        TruncatedDataError: if the file ends inside its file meta information.
    """
    with path.open("rb") as file:
        meta = file_meta(file.read(_HEAD_BYTES))
        file.seek(meta.length)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return Content(sha256, file.tell() - meta.length, meta.transfer_syntax_uid)


def content_sha256(path: Path) -> str:
    """Hash what the object says, whatever file it lies in.

    Args:
        path: see `read_content`.

    Returns:
        SHA-256, 64 hex digits: of the data set without preamble and file meta for DICOM, which is what a C-STORE
        request carries, else of the whole file.

    Raises:
        TruncatedDataError: if the file ends inside its file meta information.
    """
    return read_content(path).sha256


def sop_instance_reference(header: Dataset) -> SOPInstanceReference:
    """Read the UIDs that identify an object.

    Raises:
        MissingAttributeError: if one of the four UIDs is absent, empty or more than one.
    """
    keywords = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
    uids = [_only_value(header, keyword) for keyword in keywords]
    missing = [keyword for keyword, uid in zip(keywords, uids, strict=True) if not uid]
    if missing:
        raise MissingAttributeError(
            f"{', '.join(missing)} missing, empty or more than one; have the sender repair the object."
        )
    return SOPInstanceReference(*uids)


def _only_value(header: Dataset, keyword: str) -> str:
    value = header.get(keyword)
    return "" if isinstance(value, MultiValue) else str(value or "").strip()


def _value_bounds(view: memoryview, position: int) -> tuple[int, int]:
    # Start and end of the value of the element at `position`; an end past the view means truncation.
    head = bytes(view[position : position + 12]).ljust(12, b"\xff")
    vr = head[4:6]
    if vr in _LONG_LENGTH_VRS:
        start, length = position + 12, struct.unpack_from("<I", head, 8)[0]
    elif vr.isalpha() and vr.isupper():
        start, length = position + 8, struct.unpack_from("<H", head, 6)[0]
    else:  # some writers encode the meta group implicitly
        start, length = position + 8, struct.unpack_from("<I", head, 4)[0]
    return start, start + length
