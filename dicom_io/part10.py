"""From the bytes of a DICOM file to its header and the place of its pixel data."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset, config
from pydicom.dataelem import RawDataElement
from pydicom.errors import BytesLengthException
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicom_io.errors import (
    NoPixelDataError,
    NotAnImageError,
    OversizedImageError,
    TruncatedDataError,
    UnsupportedObjectError,
)
from dicom_io.identity import file_meta

MAX_INFLATED_BYTES = 256 << 20
MAX_DEPTH = 32
NATIVE_SYNTAXES = frozenset(
    (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
)
_PIXEL_DATA = 0x7FE00010
_FLOAT_PIXEL_DATA = (0x7FE00008, 0x7FE00009)
_UNDEFINED_LENGTH = 0xFFFFFFFF
# What a broken value can raise inside pydicom's readers.
_PARSE_FAULTS = (
    BytesLengthException,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    TypeError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class PixelElement:
    """The value of Pixel Data.

    Attributes:
        value: fragments (PS3.5 A.4) where `encapsulated`, else the pixels.
        encapsulated: whether the length is undefined.
        swapped: whether 8-bit samples lie in big-endian 16-bit words (PS3.5 8.1.2), two by two in reverse.
    """

    value: memoryview
    encapsulated: bool
    swapped: bool = False


@dataclass(frozen=True, slots=True)
class ParsedObject:
    """A DICOM object taken apart.

    Attributes:
        header: the data set without pixel data.
        transfer_syntax_uid: as the file says, or as recognised where it does not.
        encoded: the data set as stored.
        body: the data set, inflated where it was deflated.
        pixel_position: where the Pixel Data element begins in `body`.
    """

    header: Dataset
    transfer_syntax_uid: str
    encoded: memoryview
    body: memoryview
    pixel_position: int

    def pixel_element(self) -> PixelElement:
        """Find the value of Pixel Data.

        Raises:
            NoPixelDataError: if there is none.
            TruncatedDataError: if it ends before its declared length.
        """
        tag, start, length = self._element_head()
        if tag != _PIXEL_DATA:
            raise NoPixelDataError("The object carries no Pixel Data (7FE0,0010); only images can be screened.")
        if length == _UNDEFINED_LENGTH:
            return PixelElement(self.body[start:], encapsulated=True)
        if start + length > len(self.body):
            raise TruncatedDataError(
                f"Pixel Data declares {length} bytes, {len(self.body) - start} are there; send the object again."
            )
        words = bytes(self.body[self.pixel_position + 4 : self.pixel_position + 6]) == b"OW"
        swapped = words and self.transfer_syntax_uid == ExplicitVRBigEndian
        return PixelElement(self.body[start : start + length], encapsulated=False, swapped=swapped)

    def _element_head(self) -> tuple[int, int, int]:
        # Tag, start of the value and declared length of the element at `pixel_position`. Source: PS3.5 7.1.
        head = bytes(self.body[self.pixel_position : self.pixel_position + 12])
        if len(head) < 8:
            return 0, 0, 0
        order = ">" if self.transfer_syntax_uid == ExplicitVRBigEndian else "<"
        group, element = struct.unpack_from(order + "HH", head)
        tag = (group << 16) | element
        if head[4:6] in (b"OB", b"OW", b"UN", b"OF", b"OD"):
            head = head.ljust(12, b"\0")
            return tag, self.pixel_position + 12, struct.unpack_from(order + "I", head, 8)[0]
        return tag, self.pixel_position + 8, struct.unpack_from(order + "I", head, 4)[0]


def parse(raw: bytes, only: Sequence[str] | None = None) -> ParsedObject:
    """Take a DICOM file apart without copying or decoding its pixels.

    Args:
        raw: the whole file.
        only: keywords to keep in the header; None for all.

    Raises:
        NotAnImageError: if the bytes are no DICOM data set.
        TruncatedDataError: if the file ends inside an element.
        UnsupportedObjectError: if the data set cannot be parsed, or its sequences are nested too deep.
        OversizedImageError: if a deflated data set grows past `MAX_INFLATED_BYTES`.
    """
    meta = file_meta(raw)
    encoded = memoryview(raw)[meta.length :]
    syntax = meta.transfer_syntax_uid or _recognise(bytes(encoded[:8]))
    body = inflate(encoded) if syntax == DeflatedExplicitVRLittleEndian else encoded
    stream = io.BytesIO(raw if body is encoded else body)
    base = meta.length if body is encoded else 0
    stream.seek(base)
    header = read_data_set(stream, syntax, only)
    return ParsedObject(header, syntax, encoded, body, stream.tell() - base)


@contextmanager
def tolerant() -> Iterator[None]:
    """Read values as they are: no complaint about, and no log of, a value that breaks its VR's rules."""
    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        yield


def settle(header: Dataset, *, strict: bool = False) -> None:
    """Convert every value now, so that no later access to or copy of the header raises.

    Args:
        header: changed in place.
        strict: refuse a value that cannot be read, instead of dropping it.

    Raises:
        UnsupportedObjectError: if sequences are nested deeper than `MAX_DEPTH`, or by `strict`.
    """
    with tolerant():
        _settle(header, MAX_DEPTH, strict=strict)


def _settle(dataset: Dataset, allowed: int, *, strict: bool) -> None:
    if not allowed:
        raise UnsupportedObjectError(f"Sequences are nested deeper than {MAX_DEPTH} levels.")
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
        except (*_PARSE_FAULTS, RecursionError) as error:
            if strict:
                raise UnsupportedObjectError(f"The value of {tag} cannot be read.") from error
            del dataset[tag]
            continue
        for item in element.value if element.VR == "SQ" else ():
            _settle(item, allowed - 1, strict=strict)


def _recognise(head: bytes) -> str:
    # A data set without file meta begins with a low group; letters where a VR would be mean explicit VR.
    if len(head) < 8 or head[:2] not in (b"\x08\x00", b"\x02\x00"):
        raise NotAnImageError("The file is neither DICOM nor PNG nor JPEG.")
    return str(ExplicitVRLittleEndian if head[4:6].isalpha() else ImplicitVRLittleEndian)


def inflate(encoded: memoryview) -> memoryview:
    """Inflate a deflated data set (PS3.5 A.5).

    Raises:
        TruncatedDataError: if the stream is cut off.
        UnsupportedObjectError: if it is no deflate stream.
        OversizedImageError: if it grows past `MAX_INFLATED_BYTES`.
    """
    decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        body = decompressor.decompress(encoded, MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise UnsupportedObjectError(f"The deflated data set cannot be inflated ({error}).") from error
    if decompressor.unconsumed_tail:
        raise OversizedImageError(f"The deflated data set grows past {MAX_INFLATED_BYTES} bytes.")
    if not decompressor.eof:
        raise TruncatedDataError("The deflated data set is cut off; send the object again.")
    return memoryview(body)


def read_data_set(stream: io.BytesIO, syntax: str, only: Sequence[str] | None = None) -> Dataset:
    """Read a data set up to its pixel data.

    Args:
        stream: positioned at the data set; left where its pixel data begins, or at the end.
        syntax: Transfer Syntax UID; not the deflated one.
        only: keywords to keep; None for all.

    Raises:
        TruncatedDataError: if the data set ends inside an element.
        UnsupportedObjectError: if it cannot be parsed, or its sequences are nested too deep.
    """
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    try:
        with tolerant():
            header = read_dataset(
                stream,
                implicit,
                little,
                stop_when=_at_pixels,
                specific_tags=None if only is None else [Tag(keyword) for keyword in only],
            )
        _require_whole(header, stream)
    except RecursionError as error:
        raise UnsupportedObjectError("Sequences are nested too deep to be read.") from error
    except EOFError as error:
        raise TruncatedDataError("The data set ends inside an element; send the object again.") from error
    except (*_PARSE_FAULTS, MemoryError) as error:
        raise UnsupportedObjectError(f"The data set cannot be parsed ({type(error).__name__}).") from error
    return header


def _require_whole(header: Dataset, stream: io.BytesIO) -> None:
    # pydicom takes what is left for the value of an element, and a part of a UID is another UID.
    position = stream.tell()
    end = stream.seek(0, io.SEEK_END)
    stream.seek(position)
    if position > end or any(_is_cut(element) for element in header.values()):
        raise EOFError


def _is_cut(element: Any) -> bool:
    if not isinstance(element, RawDataElement) or element.length == _UNDEFINED_LENGTH:
        return False
    return len(element.value or b"") < element.length


def _at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag == _PIXEL_DATA or tag in _FLOAT_PIXEL_DATA
