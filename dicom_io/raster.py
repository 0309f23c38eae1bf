"""PNG and JPEG files: photographs of films, and the images of public data sets."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dicom_io.description import MAX_PIXELS_PER_FRAME
from dicom_io.errors import OversizedImageError, PixelDecodeError

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
        with Image.open(io.BytesIO(raw), formats=("PNG", "JPEG")) as image:
            if image.width * image.height > MAX_PIXELS_PER_FRAME:
                raise OversizedImageError(f"{image.height} x {image.width} pixels are above the limit.")
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I"):
                return np.asarray(upright).astype(np.uint16)
            return np.asarray(upright.convert("RGB").convert("L") if "A" in upright.mode else upright.convert("L"))
    except Image.DecompressionBombError as error:
        raise OversizedImageError("The picture is above the limit.") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise PixelDecodeError(f"The picture cannot be decoded ({type(error).__name__}).") from error
