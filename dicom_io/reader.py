"""Read an image file: its header, or the whole radiograph."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicom_io.description import PixelDescription, describe
from dicom_io.errors import NoPixelDataError, NotAnImageError, OversizedImageError
from dicom_io.frames import Frame, read_frames
from dicom_io.identity import sop_instance_reference
from dicom_io.part10 import ParsedObject, parse, settle
from dicom_io.pixels import TABLE_SIZE, grey_table, needs_histogram, percentile_table
from dicom_io.raster import is_raster, read_raster
from dicom_io.types import Radiograph

MAX_FILE_BYTES = 384 << 20
DEFAULT_PERCENTILES = (0.5, 99.5)
# All that decides what the pixels look like; the rest of the header is not even parsed for it.
_PIXEL_KEYWORDS = (
    *("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "Rows", "Columns", "NumberOfFrames"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"),
    *("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction", "PresentationLUTShape"),
    *(
        f"{colour}PaletteColorLookupTable{part}"
        for colour in ("Red", "Green", "Blue")
        for part in ("Descriptor", "Data")
    ),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
)


def read_header(path: Path) -> Dataset | None:
    """Read what a DICOM file says about its image.

    Args:
        path: the file; its name does not matter.

    Returns:
        the data set without pixel data, values that cannot be read left out; None for PNG and JPEG.

    Raises:
        NotAnImageError: if the file is neither DICOM nor PNG nor JPEG.
        TruncatedDataError: if it ends inside an element.
        UnsupportedObjectError: if it cannot be parsed.
        OversizedImageError: if it is larger than `MAX_FILE_BYTES`.
    """
    header = read_raw_header(path)
    if header is not None:
        settle(header)
    return header


def read_raw_header(path: Path) -> Dataset | None:
    """Read the same header with every value still the bytes it was.

    `dicom_io.header.encode_header` wants it so: text that pydicom has decoded by a wrong character set has lost bytes.

    Args:
        path: see `read_header`.

    Returns:
        the data set without pixel data, whose values may raise when accessed; None for PNG and JPEG.

    Raises:
        NotAnImageError: see `read_header`.
        TruncatedDataError: see `read_header`.
        UnsupportedObjectError: see `read_header`.
        OversizedImageError: see `read_header`.
    """
    raw = _read(path)
    return None if is_raster(raw[:8]) else parse(raw).header


def read_radiograph(
    path: Path, *, covering: int = 0, percentiles: tuple[float, float] = DEFAULT_PERCENTILES
) -> Radiograph:
    """Read the frames of a DICOM, PNG or JPEG file and the table that makes them grey levels.

    Args:
        path: the file; its name does not matter.
        covering: side in pixels that a decoding at reduced resolution must still cover; 0 decodes every pixel.
        percentiles: percentiles of the pixel values, padding left out, that become black and white where more than 8
            bits are stored and the header has neither VOI LUT nor window.

    Raises:
        ImageError: a subclass that names what is wrong.
    """
    raw = _read(path)
    if is_raster(raw[:8]):
        frame = read_raster(raw)
        rows, columns = frame.shape
        deep = frame.dtype == np.uint16
        table = percentile_table(_counts((frame,)), percentiles) if deep else _identity_table()
        return Radiograph(None, rows, columns, 0, (frame,), table, memoryview(raw))
    parsed = parse(raw, _PIXEL_KEYWORDS)
    settle(parsed.header, strict=True)
    reference = sop_instance_reference(parsed.header)
    if "Rows" not in parsed.header and "BitsAllocated" not in parsed.header:
        raise NoPixelDataError("The object describes no pixels; only images can be screened.")
    description = describe(parsed.header)
    frames, halvings = read_frames(parsed, description, covering)
    table = _table(parsed, description, frames, percentiles)
    return Radiograph(reference, description.rows, description.columns, halvings, frames, table, parsed.encoded)


def _read(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise OversizedImageError(f"The file has {size} bytes; {MAX_FILE_BYTES} are the limit.")
    raw = path.read_bytes()
    if not raw:
        raise NotAnImageError("The file is empty.")
    return raw


def _table(
    parsed: ParsedObject,
    description: PixelDescription,
    frames: tuple[Frame, ...],
    percentiles: tuple[float, float],
) -> NDArray[np.uint8]:
    if description.samples_per_pixel > 1:
        return _identity_table()
    counts = _counts(frames) if needs_histogram(description, parsed.header) else None
    return grey_table(description, parsed.header, counts, percentiles)


def _counts(frames: tuple[Frame, ...]) -> NDArray[np.int64]:
    counts = np.zeros(TABLE_SIZE, np.int64)
    for frame in frames:
        for start in range(0, len(frame), 64):  # in strips: bincount makes 8-byte copies
            counts += np.bincount(frame[start : start + 64].ravel(), minlength=TABLE_SIZE)
    return counts


def _identity_table() -> NDArray[np.uint8]:
    # For 8-bit pictures and luminance, which are grey levels already.
    return np.resize(np.arange(256, dtype=np.uint8), TABLE_SIZE)
