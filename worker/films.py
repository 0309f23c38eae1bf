"""Prepared films and activation maps as they lie in the database: zstd-compressed grey levels, and float16."""

from math import isqrt
from typing import TypeVar

import numpy as np
import zstandard
from numpy.typing import NDArray

from worker.errors import PermanentError

Film = NDArray[np.uint8]
_Value = TypeVar("_Value", np.uint8, np.float16)
_LARGEST_FILM = 1024 * 1024  # bytes: see `worker.model.input_spec.InputSpec.size`


class DamagedFilmError(PermanentError):
    """A prepared image is not what the prepare step wrote."""


def unpack_film(packed: bytes, size: int) -> Film:
    """Decompress one prepared film.

    Args:
        packed: `prepared_images.pixels`.
        size: of the model's input.

    Returns:
        uint8 (size, size), read-only.

    Raises:
        DamagedFilmError: if it is no zstd frame, or holds another number of grey levels.
    """
    try:
        levels = zstandard.frame_content_size(packed)
        if levels != size * size:  # before it is decompressed, so that a wrong one cannot fill the memory
            raise DamagedFilmError(f"prepared image holds {levels} grey levels instead of {size} x {size}: {_ADVICE}")
        raw = zstandard.ZstdDecompressor().decompress(packed)
    except zstandard.ZstdError:
        raise DamagedFilmError(f"prepared image is no whole zstd frame: {_ADVICE}") from None
    return np.frombuffer(raw, np.uint8).reshape(size, size)


def unpack_stored_film(packed: bytes) -> Film:
    """Decompress a prepared film of whatever model, to be looked at.

    Args:
        packed: `prepared_images.pixels`.

    Returns:
        uint8 (size, size), read-only.

    Raises:
        DamagedFilmError: if it is no zstd frame, is larger than any model's input, or no square.
    """
    try:
        if zstandard.frame_content_size(packed) > _LARGEST_FILM:  # which would be allocated before anything is read
            raise DamagedFilmError(f"prepared image is larger than {_LARGEST_FILM} bytes: {_ADVICE}")
        raw = zstandard.ZstdDecompressor().decompress(packed, max_output_size=_LARGEST_FILM)
    except zstandard.ZstdError:
        raise DamagedFilmError(f"prepared image is no whole zstd frame: {_ADVICE}") from None
    return _square(np.frombuffer(raw, np.uint8))


def unpack_activation_map(encoded: bytes) -> NDArray[np.float16]:
    """Read a stored activation map.

    Args:
        encoded: `scores.activation_map`: float16, little endian.

    Returns:
        float16 (side, side), in units of the logit.

    Raises:
        DamagedFilmError: if it is no square, or holds what is no number.
    """
    if len(encoded) % 2:
        raise DamagedFilmError(f"activation map has {len(encoded)} bytes: {_ADVICE}")
    values = np.frombuffer(encoded, "<f2").astype(np.float16)
    if np.isnan(values).any():
        raise DamagedFilmError(f"activation map holds what is no number: {_ADVICE}")
    return _square(values)


def _square(values: NDArray[_Value]) -> NDArray[_Value]:
    side = isqrt(values.size)
    if side == 0 or side * side != values.size:
        raise DamagedFilmError(f"{values.size} values are no square: {_ADVICE}")
    return values.reshape(side, side)


_ADVICE = "check the database's storage, then `cxr-triage quarantine retry`"
