"""Prepared films as they lie in the database: zstd-compressed grey levels."""

import numpy as np
import zstandard
from numpy.typing import NDArray

from worker.errors import PermanentError

Film = NDArray[np.uint8]


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


_ADVICE = "check the database's storage, then `cxr-triage quarantine retry`"
