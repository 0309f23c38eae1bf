"""PNG and JPEG files: photographs of films, and the images of public data sets."""

import io
import struct
import warnings
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dicom_io.description import MAX_PIXELS_PER_FRAME
from dicom_io.errors import OversizedImageError, PixelDecodeError

_START_OF_SCAN = b"\xff\xda"  # a progressive JPEG has one per pass over the picture
_MAX_SCANNED_PIXELS = 10**9
# What Pillow raises at damaged data.
_FAULTS = (
    AssertionError,
    EOFError,
    LookupError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


def is_raster(head: bytes) -> bool:
    """Whether a file that begins with `head` (8 bytes) is a PNG or a JPEG."""
    return head.startswith(_SIGNATURES)


def read_raster(raw: bytes) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Decode a PNG or JPEG to grey, upright.

    Alpha is ignored: the film is in the colours, and an empty alpha channel must not make it black.

    Returns:
        shape (rows, columns): uint8, or uint16 for a grey PNG of 16 bits.

    Raises:
        OversizedImageError: if the picture is above `MAX_PIXELS_PER_FRAME`.
        PixelDecodeError: if it cannot be decoded.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _decode(raw)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise OversizedImageError("The picture has more pixels than the limit.") from error
    except _FAULTS as error:
        raise PixelDecodeError(f"The picture cannot be decoded ({type(error).__name__}).") from error


def _decode(raw: bytes) -> NDArray[np.uint8] | NDArray[np.uint16]:
    with Image.open(io.BytesIO(raw), formats=("PNG", "JPEG")) as image:
        passes = raw.count(_START_OF_SCAN) if image.format != "PNG" else 1
        pixels = image.width * image.height
        if pixels > MAX_PIXELS_PER_FRAME or pixels * passes > _MAX_SCANNED_PIXELS:
            raise OversizedImageError(f"{image.height} x {image.width} pixels are above the limit.")
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):
            return np.asarray(upright).astype(np.uint16)
        return np.asarray(upright.convert("L"))
