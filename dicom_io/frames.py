"""The frames of one object as arrays of stored words: native (PS3.5 8.1) or encapsulated (PS3.5 A.4)."""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRBigEndian, JPEGBaseline8Bit, JPEGExtended12Bit

from dicom_io.codecs import decode, reduction
from dicom_io.description import PixelDescription
from dicom_io.errors import PixelDecodeError, TruncatedDataError, UnsupportedObjectError
from dicom_io.part10 import NATIVE_SYNTAXES, ParsedObject, PixelElement

Frame = NDArray[np.uint8] | NDArray[np.uint16]
_RED, _GREEN, _BLUE = 77, 150, 29  # ITU-R BT.601 in 1/256
_TO_RGB = (JPEGBaseline8Bit, JPEGExtended12Bit)  # their decoder undoes the colour transform
_ITEM, _SEQUENCE_DELIMITER = 0xFFFEE000, 0xFFFEE0DD


def read_frames(
    parsed: ParsedObject, description: PixelDescription, covering: int = 0
) -> tuple[tuple[Frame, ...], int]:
    """Bring every frame to an array of stored words, colour to luminance.

    Args:
        parsed: the object.
        description: its checked pixel description.
        covering: side in pixels that a reduced resolution must still cover; 0: full resolution.

    Returns:
        arrays of shape (rows, columns), uint8 or uint16, and how often their resolution was halved.

    Raises:
        NoPixelDataError: if there is no Pixel Data.
        TruncatedDataError: if pixels are missing.
        UnsupportedTransferSyntaxError: if no decoder is available.
        PixelDecodeError: if a compressed frame cannot be decoded or has another size than declared.
        UnsupportedObjectError: if transfer syntax and encapsulation contradict each other.
    """
    element, syntax = parsed.pixel_element(), parsed.transfer_syntax_uid
    native = syntax in NATIVE_SYNTAXES
    if native == element.encapsulated:
        raise UnsupportedObjectError("Transfer syntax and encapsulation of Pixel Data contradict each other.")
    if native:
        return tuple(_native_frames(element, description, syntax)), 0
    encoded = list(_encapsulated_frames(element.value, parsed.header, description.number_of_frames))
    halvings = reduction(syntax, encoded[0], covering)
    try:
        return tuple(_decoded(data, syntax, description, halvings) for data in encoded), halvings
    except PixelDecodeError:
        if not halvings:
            raise
    # A refused reduced resolution costs time, not the image.
    return tuple(_decoded(data, syntax, description, 0) for data in encoded), 0


def luminance(samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Weigh red, green and blue, shape (rows, columns, 3), to luminance, shape (rows, columns). Source: BT.601."""
    grey = np.empty(samples.shape[:2], np.uint8)
    for row, line in enumerate(samples):  # row by row: no wide copy of the whole image
        wide = line.astype(np.uint16)
        grey[row] = (wide[:, 0] * _RED + wide[:, 1] * _GREEN + wide[:, 2] * _BLUE + 128) >> 8
    return grey


def _native_frames(element: PixelElement, description: PixelDescription, syntax: str) -> Iterator[Frame]:
    needed = description.frame_bytes * description.number_of_frames
    if len(element.value) < needed:
        raise TruncatedDataError(f"{needed} bytes of pixels are declared, {len(element.value)} are there.")
    dtype = np.dtype(f"{'>' if syntax == ExplicitVRBigEndian else '<'}u{description.bits_allocated // 8}")
    if element.swapped and description.bits_allocated == 8:
        samples: NDArray[Any] = np.frombuffer(element.value, np.uint16).byteswap().view(np.uint8)
    else:
        samples = np.frombuffer(element.value, dtype, needed // dtype.itemsize)
    length = description.frame_bytes // dtype.itemsize
    for start in range(0, length * description.number_of_frames, length):
        yield _native_grey(samples[start : start + length], description).astype(dtype.newbyteorder("="), copy=False)


def _native_grey(samples: NDArray[Any], description: PixelDescription) -> NDArray[Any]:
    rows, columns = description.rows, description.columns
    if description.samples_per_pixel == 1:
        return samples.reshape(rows, columns)
    if description.photometric_interpretation == "YBR_FULL_422":  # Y Y Cb Cr, PS3.3 C.7.6.3.1.2
        pairs: NDArray[Any] = samples.reshape(rows, columns // 2, 4)[:, :, :2]
        return pairs.reshape(rows, columns)
    planes = (
        samples.reshape(3, rows, columns)
        if description.planar
        else np.moveaxis(samples.reshape(rows, columns, 3), -1, 0)
    )
    if description.photometric_interpretation.startswith("YBR"):
        luma: NDArray[Any] = planes[0]
        return luma
    return luminance(np.moveaxis(planes, 0, -1))


def _decoded(data: bytes, syntax: str, description: PixelDescription, halvings: int) -> Frame:
    samples = decode(syntax, data, description, halvings)
    expected = tuple(-(-side >> halvings) for side in (description.rows, description.columns))
    colours = (description.samples_per_pixel,) if description.samples_per_pixel > 1 else ()
    if samples.shape != expected + colours or samples.dtype.itemsize * 8 > description.bits_allocated:
        raise PixelDecodeError("A decoded frame has another shape than the header declares.")
    if description.bits_allocated == 16:
        # Widening keeps the sign of samples that the coding holds in fewer bits.
        return samples.astype(np.int16 if samples.dtype.kind == "i" else np.uint16, copy=False).view(np.uint16)
    words = samples.view(np.uint8)
    if not colours:
        return words
    if description.photometric_interpretation.startswith("YBR_FULL") and syntax not in _TO_RGB:
        return np.ascontiguousarray(words[..., 0])
    return luminance(words)


def _encapsulated_frames(value: memoryview, header: Dataset, number: int) -> Iterator[bytes]:
    fragments, end = _fragments(value)
    if number == 1:
        yield b"".join(fragments)
    elif len(fragments) == number:
        yield from map(bytes, fragments)
    else:
        yield from _split(value[:end], header, number)


def _split(value: memoryview, header: Dataset, number: int) -> Iterator[bytes]:
    # Frames of several fragments each: by offset tables or end-of-image markers. Source: PS3.5 A.4.
    offsets, lengths = header.get("ExtendedOffsetTable"), header.get("ExtendedOffsetTableLengths")
    extended = (offsets, lengths) if offsets and lengths else None
    try:
        count = 0
        for frame in generate_frames(bytes(value), number_of_frames=number, extended_offsets=extended):
            yield frame
            count += 1
    except (ValueError, struct.error, IndexError) as error:
        raise PixelDecodeError("The fragments cannot be told apart into frames.") from error
    if count != number:
        raise TruncatedDataError(f"{number} frames are declared, {count} are there; send the object again.")


def _fragments(value: memoryview) -> tuple[list[memoryview], int]:
    # The fragments after the Basic Offset Table, and where the sequence ends. Source: PS3.5 A.4.
    items: list[memoryview] = []
    position = 0
    while position + 8 <= len(value):
        group, element, length = struct.unpack_from("<HHI", value, position)
        position += 8
        tag = (group << 16) | element
        if tag == _SEQUENCE_DELIMITER and items:
            return items[1:], position
        if tag != _ITEM:
            raise PixelDecodeError("The encapsulated pixel data are no sequence of fragments.")
        if position + length > len(value):
            break
        items.append(value[position : position + length])
        position += length
    raise TruncatedDataError("The encapsulated pixel data end before their delimiter; send the object again.")
