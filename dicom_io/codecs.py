"""Decoders: one table, transfer syntax to decoders in the order they are tried."""

from collections.abc import Callable, Mapping
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from rle import decode_pixel_data

from dicom_io.description import PixelDescription
from dicom_io.errors import PixelDecodeError, UnsupportedTransferSyntaxError

Decoder = Callable[[bytes, PixelDescription], NDArray[Any]]


def _jpeg(data: bytes, _description: PixelDescription) -> NDArray[Any]:
    return np.asarray(imagecodecs.jpeg_decode(data))


def _ljpeg(data: bytes, _description: PixelDescription) -> NDArray[Any]:
    return np.asarray(imagecodecs.ljpeg_decode(data))


def _jpegls(data: bytes, _description: PixelDescription) -> NDArray[Any]:
    return np.asarray(imagecodecs.jpegls_decode(data))


def _jpeg2000(data: bytes, _description: PixelDescription) -> NDArray[Any]:
    return np.asarray(imagecodecs.jpeg2k_decode(data))


def _rle(data: bytes, description: PixelDescription) -> NDArray[Any]:
    raw = decode_pixel_data(
        data, version=2, rows=description.rows, columns=description.columns, bits_allocated=description.bits_allocated
    )
    decoded = np.frombuffer(raw, np.uint8)
    words = decoded.view(f"<u{description.bits_allocated // 8}")
    planes = words.reshape(description.samples_per_pixel, description.rows, description.columns)
    return planes[0] if len(planes) == 1 else np.moveaxis(planes, 0, -1)


DECODERS: Mapping[str, tuple[Decoder, ...]] = {
    uid.JPEGBaseline8Bit: (_jpeg,),
    uid.JPEGExtended12Bit: (_jpeg,),
    uid.JPEGLossless: (_ljpeg, _jpeg),
    uid.JPEGLosslessSV1: (_ljpeg, _jpeg),
    uid.JPEGLSLossless: (_jpegls,),
    uid.JPEGLSNearLossless: (_jpegls,),
    uid.JPEG2000Lossless: (_jpeg2000,),
    uid.JPEG2000: (_jpeg2000,),
    uid.HTJ2KLossless: (_jpeg2000,),
    uid.HTJ2KLosslessRPCL: (_jpeg2000,),
    uid.HTJ2K: (_jpeg2000,),
    uid.RLELossless: (_rle,),
}


def decode(transfer_syntax_uid: str, data: bytes, description: PixelDescription) -> NDArray[Any]:
    """Decode one frame.

    Raises:
        UnsupportedTransferSyntaxError: if the table knows no decoder.
        PixelDecodeError: if every decoder refuses the frame.
    """
    decoders = DECODERS.get(transfer_syntax_uid)
    if decoders is None:
        raise UnsupportedTransferSyntaxError(f"No decoder for transfer syntax {transfer_syntax_uid}.")
    faults = []
    for decoder in decoders:
        try:
            return decoder(data, description)
        except (RuntimeError, ValueError, OSError, MemoryError) as error:
            faults.append(f"{decoder.__name__.strip('_')}: {type(error).__name__}")
    raise PixelDecodeError(f"The compressed pixels could not be decoded ({'; '.join(faults)}).")
