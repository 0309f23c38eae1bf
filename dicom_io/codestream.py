"""What a compressed frame says about itself, read before any decoder allocates for it."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from dicom_io.errors import PixelDecodeError, TruncatedDataError

_END = b"\xff\xd9"  # EOI and EOC; neither coding lets these two bytes occur inside its data
_START_OF_SCAN = b"\xff\xda"
_JPEG_2000_START = b"\xff\x4f\xff\x51"  # SOC, SIZ
_JPEG_LS_FRAME = 0xF7
_CODING_STYLE = 0x52
_START_OF_TILE = 0x90
_NO_FRAME = (0xC4, 0xC8, 0xCC)  # DHT, JPG, DAC lie among the SOF markers
_ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a length


@dataclass(frozen=True, slots=True)
class Codestream:
    """The frame header of a JPEG, JPEG-LS or JPEG 2000 stream.

    Attributes:
        rows, columns: size of the picture.
        components: number of samples per pixel.
        precision: bits per sample.
        signed: whether the samples are signed; only JPEG 2000 can say so.
        scans: passes over the picture; progressive JPEG has several.
        levels: how often JPEG 2000 can halve the resolution.
    """

    rows: int
    columns: int
    components: int
    precision: int
    signed: bool = False
    scans: int = 1
    levels: int = 0


def inspect(data: bytes) -> Codestream:
    """Read the header of a compressed frame.

    Args:
        data: one frame; JPEG 2000 with or without the JP2 boxes.

    Raises:
        PixelDecodeError: if there is no such header.
        TruncatedDataError: if the stream has no end marker, which decoders would hide under grey.

    Source: ITU-T T.81 B.2, T.87 C.2, T.800 A.5.
    """
    if _END not in data[2:]:
        raise TruncatedDataError("A compressed frame ends before its end marker; send the object again.")
    try:
        return _jpeg_header(data) if data.startswith(b"\xff\xd8") else _jpeg_2000_header(data)
    except (struct.error, IndexError) as error:
        raise PixelDecodeError("The header of a compressed frame is damaged.") from error


def _jpeg_header(data: bytes) -> Codestream:
    for marker, position in _segments(data, 2):
        is_frame = 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME  # SOF0 to SOF15
        if is_frame or marker == _JPEG_LS_FRAME:
            precision, rows, columns, components = struct.unpack_from(">BHHB", data, position)
            if _END not in data[data.find(_START_OF_SCAN, position) :]:
                raise TruncatedDataError("A compressed frame ends before its end marker; send the object again.")
            return Codestream(rows, columns, components, precision, scans=data.count(_START_OF_SCAN))
    raise PixelDecodeError("A compressed frame has no frame header.")


def _jpeg_2000_header(data: bytes) -> Codestream:
    start = data.find(_JPEG_2000_START)
    if start < 0:
        raise PixelDecodeError("A compressed frame is no JPEG 2000 codestream.")
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    components, depth = struct.unpack_from(">HB", data, start + 40)
    levels = next((data[at + 5] for marker, at in _segments(data, start + 2) if marker == _CODING_STYLE), 0)
    return Codestream(
        rows=bottom - top,
        columns=right - left,
        components=components,
        precision=(depth & 0x7F) + 1,
        signed=bool(depth & 0x80),
        # A picture that does not begin at the origin of its grid halves at other pixels: left whole.
        levels=levels if left == top == 0 else 0,
    )


def _segments(data: bytes, position: int) -> Iterator[tuple[int, int]]:
    # Marker and start of its content, until the data of the picture begin.
    while True:
        if data[position] != 0xFF:  # every marker begins so
            raise PixelDecodeError("The header of a compressed frame is damaged.")
        marker = data[position + 1]
        position += 1 if marker == 0xFF else 2  # fill byte
        if marker in (_START_OF_SCAN[1], _START_OF_TILE, _END[1]):
            return
        if marker in _ALONE or marker == 0xFF:
            continue
        (length,) = struct.unpack_from(">H", data, position)
        yield marker, position + 2
        position += length
