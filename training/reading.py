"""One file from the disk: its prepared film and what its header says."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata, resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicom_io.reader import read_header, read_radiograph
from dicom_io.types import Radiograph
from training.errors import DataError
from training.facts import Facts, header_facts
from worker.model.input_spec import InputSpec
from worker.model.preprocessing import preprocess

_DECODERS = ("imagecodecs", "numpy", "pillow", "pydicom", "pylibjpeg-rle")
_MODULES = (("dicom_io", "*.py"), ("worker.model", "preprocessing.py"), ("training", "facts.py"))


@dataclass(frozen=True, slots=True, eq=False)
class ReadFilm:
    """A film as training wants it.

    Attributes:
        pixels: uint8 (size, size).
        aspect: columns over rows of the picture before preparation.
        facts: what the header says; nothing for PNG, JPEG and archives.
    """

    pixels: NDArray[np.uint8]
    aspect: float
    facts: Facts


def read_film(path: Path, spec: InputSpec) -> ReadFilm:
    """Read and prepare a file, exactly as serving does.

    Raises:
        ImageError: if the file cannot be screened; it names what is wrong.
        OSError: if it cannot be opened.
        DataError: if it holds several frames.
    """
    radiograph = read_radiograph(path, covering=spec.size, percentiles=spec.percentiles)
    return prepared_film(radiograph, spec, header_facts(read_header(path)) if radiograph.reference else Facts())


def prepared_film(radiograph: Radiograph, spec: InputSpec, facts: Facts) -> ReadFilm:
    """Prepare a radiograph of one frame.

    Raises:
        ImageError: if the picture is one grey level.
        DataError: if it has several frames.
    """
    frames = preprocess(radiograph, spec)
    if len(frames) != 1:
        raise DataError(f"the file has {len(frames)} frames; one label cannot speak for all of them")
    return ReadFilm(frames[0], radiograph.columns / radiograph.rows, facts)


@lru_cache(maxsize=1)
def preparation_version() -> str:
    """Identify all code that decides what `read_film` returns: our own source text, and the decoders' versions.

    Returns:
        64 hex digits.
    """
    identity = hashlib.sha256()
    for package, pattern in _MODULES:
        for module in sorted(Path(str(resources.files(package))).glob(pattern)):
            identity.update(hashlib.sha256(module.read_bytes()).digest())
    for name in _DECODERS:
        identity.update(f"{name} {metadata.version(name)}\n".encode())
    return identity.hexdigest()
