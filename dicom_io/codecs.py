"""Decoders: one table, transfer syntax to decoders in the order they are tried.

Measured on a 2500 x 2048 film of 12 bits (8 for JPEG baseline), one core, milliseconds; what is not in the table was
slower, or refuses valid files (Pillow and pylibjpeg: 12-bit JPEG), or crashes the process on damaged ones (the RLE of
imagecodecs; its OpenJPH, 40 ms, complains past every handler), or is under the GPL (pylibjpeg-libjpeg).

| coding          | first choice              | then                          |
|-----------------|---------------------------|-------------------------------|
| JPEG baseline   | libjpeg-turbo 8           | Pillow 9                      |
| JPEG extended   | libjpeg-turbo 31          |                               |
| JPEG lossless   | libjpeg-turbo 37          | liblj92 54, jpegsof3 94       |
| JPEG-LS         | CharLS 87                 |                               |
| JPEG 2000       | Pillow at 1/4 size 42     | OpenJPEG 556 (Pillow 678)     |
| HTJ2K           | Pillow at 1/4 size        | OpenJPEG 107                  |
| RLE             | pylibjpeg-rle 10          |                               |
"""

import io
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from pydicom import uid
from rle import decode_pixel_data

from dicom_io.codestream import Codestream, inspect
from dicom_io.description import PixelDescription
from dicom_io.errors import OversizedImageError, PixelDecodeError, UnsupportedTransferSyntaxError

# A reduced picture must cover this many times the side asked for. With two samples per cell in each direction the mean
# difference to the exact area average stays below 0.3 grey levels on real films and the shipped model's probability
# within 0.01; with 1.5 a mammogram's moved by 0.016, with 1 the mean reached 1.1.
_COVER_MARGIN = 2
_MAX_SCANNED_PIXELS = 10**9
_REDUCIBLE = frozenset((uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K))
# What decoders raise at damaged data; Pillow reads its headers with assertions and unguarded indices.
_FAULTS = (
    AssertionError,
    IndexError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)

Decoder = Callable[[bytes, PixelDescription], NDArray[Any]]


def _turbo(data: bytes, _description: PixelDescription) -> NDArray[Any]:
    return np.asarray(imagecodecs.jpeg_decode(data))


def _lj92(data: bytes, _description: PixelDescription) -> NDArray[Any]:
    return np.asarray(imagecodecs.ljpeg_decode(data))


def _sof3(data: bytes, _description: PixelDescription) -> NDArray[Any]:
    return np.asarray(imagecodecs.jpegsof3_decode(data))


def _charls(data: bytes, _description: PixelDescription) -> NDArray[Any]:
    return np.asarray(imagecodecs.jpegls_decode(data))


def _openjpeg(data: bytes, _description: PixelDescription) -> NDArray[Any]:
    return np.asarray(imagecodecs.jpeg2k_decode(data))


def _pillow(data: bytes, _description: PixelDescription) -> NDArray[Any]:
    with JpegImageFile(io.BytesIO(data)) as image:
        return np.asarray(image)


def _rle(data: bytes, description: PixelDescription) -> NDArray[Any]:
    size = {"rows": description.rows, "columns": description.columns, "bits_allocated": description.bits_allocated}
    try:
        raw = decode_pixel_data(data, version=2, **size)
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # of Rust: no Exception, and importable from nowhere
            raise ValueError("The RLE segments run over.") from error
        raise
    words = np.frombuffer(raw, f"<u{description.bits_allocated // 8}")
    planes = words.reshape(description.samples_per_pixel, description.rows, description.columns)
    return planes[0] if len(planes) == 1 else np.moveaxis(planes, 0, -1)


DECODERS: Mapping[str, tuple[Decoder, ...]] = {
    uid.JPEGBaseline8Bit: (_turbo, _pillow),
    uid.JPEGExtended12Bit: (_turbo,),
    uid.JPEGLossless: (_turbo, _lj92, _sof3),
    uid.JPEGLosslessSV1: (_turbo, _lj92, _sof3),
    uid.JPEGLSLossless: (_charls,),
    uid.JPEGLSNearLossless: (_charls,),
    uid.JPEG2000Lossless: (_openjpeg,),
    uid.JPEG2000: (_openjpeg,),
    uid.HTJ2KLossless: (_openjpeg,),
    uid.HTJ2KLosslessRPCL: (_openjpeg,),
    uid.HTJ2K: (_openjpeg,),
    uid.RLELossless: (_rle,),
}


def reduction(transfer_syntax_uid: str, data: bytes, covering: int) -> int:
    """How often a frame may be halved while being decoded.

    Args:
        transfer_syntax_uid: coding of the frame.
        data: one compressed frame.
        covering: side in pixels that the result must cover, with a margin for exactness; 0: never halve.

    Returns:
        0 where the coding knows no smaller resolution.
    """
    if not covering or transfer_syntax_uid not in _REDUCIBLE:
        return 0
    stream = inspect(data)
    halvings = 0
    while halvings < stream.levels and min(stream.rows, stream.columns) >> (halvings + 1) >= _COVER_MARGIN * covering:
        halvings += 1
    return halvings


def decode(transfer_syntax_uid: str, data: bytes, description: PixelDescription, halvings: int = 0) -> NDArray[Any]:
    """Decode one frame.

    Args:
        transfer_syntax_uid: coding of the frame.
        data: the compressed frame.
        description: what the header says; the frame must agree before anything is allocated for it.
        halvings: as `reduction` says.

    Returns:
        samples, shape (rows, columns) or (rows, columns, 3), of the decoder's integer type; colour as red, green and
        blue where the coding itself transforms colours.

    Raises:
        UnsupportedTransferSyntaxError: if the table knows no decoder.
        TruncatedDataError: if the frame has no end.
        OversizedImageError: if the frame needs more passes than a radiograph ever does.
        PixelDecodeError: if the frame has another size than declared, or every decoder refuses it.
    """
    if transfer_syntax_uid not in DECODERS:
        raise UnsupportedTransferSyntaxError(f"No decoder for transfer syntax {transfer_syntax_uid}.")
    decoders = DECODERS[transfer_syntax_uid]
    if transfer_syntax_uid != uid.RLELossless:  # whose decoder is told the size
        stream = inspect(data)
        _check(stream, description)
        if halvings:
            decoders = (partial(_reduced, stream=stream, halvings=halvings),)
    return _attempt(decoders, data, description)


def _attempt(decoders: Sequence[Decoder], data: bytes, description: PixelDescription) -> NDArray[Any]:
    faults = []
    for decoder in decoders:
        try:
            return decoder(data, description)
        except _FAULTS as error:
            faults.append(type(error).__name__)
    raise PixelDecodeError(f"The compressed pixels could not be decoded ({', '.join(faults)}).")


def _check(stream: Codestream, description: PixelDescription) -> None:
    if (stream.rows, stream.columns) != (description.rows, description.columns):
        raise PixelDecodeError("A compressed frame has another size than the header declares.")
    if stream.components != description.samples_per_pixel or stream.precision > description.bits_allocated:
        raise PixelDecodeError("A compressed frame has other components than the header declares.")
    if stream.scans * stream.rows * stream.columns > _MAX_SCANNED_PIXELS:
        raise OversizedImageError(f"A compressed frame has {stream.scans} scans, more than a radiograph ever has.")


def _reduced(data: bytes, _description: PixelDescription, *, stream: Codestream, halvings: int) -> NDArray[Any]:
    # Pillow lifts every sample to the full 8 or 16 bits and signed ones above zero; both are taken back.
    with Jpeg2KImageFile(io.BytesIO(data)) as image:
        # Pillow rounds the reduced size to the nearest, the standard (T.800 B.5) upwards: on a multiple they agree.
        columns, rows = (-(-side >> halvings) << halvings for side in (stream.columns, stream.rows))
        image._size = (columns, rows)  # noqa: SLF001 - has no public setter
        image.reduce = halvings
        image.load()
        samples = np.asarray(image)
    samples = samples >> (samples.dtype.itemsize * 8 - stream.precision)
    if stream.signed:
        signed = samples.astype(np.int32) - (1 << (stream.precision - 1))
        return signed.astype(f"i{samples.dtype.itemsize}")
    return samples
