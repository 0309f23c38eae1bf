"""Archives in MedMNIST's layout: arrays `<split>_images` (N, rows, columns) and `<split>_labels` (N, 1)."""

import zipfile
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicom_io.types import Radiograph
from training.cases import ANONYMOUS, Case
from training.errors import DataError

_SPLITS = ("train", "val", "test")
_DISPLAY_VALUES = np.resize(np.arange(256, dtype=np.uint8), 65_536)  # 8-bit grey levels are what is seen


def archive_parts(archive: Path) -> list[str]:
    """Names of the archive's parts, of train, val and test.

    Raises:
        DataError: if the file is no archive.
    """
    return [name for name in _SPLITS if f"{name}_images" in _arrays(archive)]


def archive_cases(archive: Path, split: str | None) -> list[Case]:
    """List the films of an archive; every film is a patient of its own, as the layout names none.

    Args:
        archive: the `.npz` file.
        split: train, val or test; None: all that are there.

    Raises:
        DataError: if the file is no such archive, has no such split, or a label is neither 0 nor 1.
    """
    splits = [name for name in archive_parts(archive) if split in (None, name)]
    if not splits:
        raise DataError(f"{archive} has no arrays {split or 'train'}_images and {split or 'train'}_labels")
    return [case for name in splits for case in _cases(archive, name)]


def archive_radiograph(case: Case) -> Radiograph:
    """Return one film of an archive, ready for `worker.model.preprocessing.preprocess`.

    Raises:
        DataError: if the film is not an 8-bit grey picture.
    """
    split, position = case.index or ("", 0)
    film = _array(case.path, f"{split}_images")[position]
    if film.dtype != np.uint8 or film.ndim != 2:
        raise DataError(f"{case.name}: expected a grey picture of 8 bits, got {film.dtype} {film.shape}")
    rows, columns = film.shape
    return Radiograph(None, rows, columns, 0, (film,), _DISPLAY_VALUES, memoryview(film.tobytes()))


def _cases(archive: Path, split: str) -> list[Case]:
    labels = _array(archive, f"{split}_labels").reshape(-1)
    if _array(archive, f"{split}_images").shape[:1] != labels.shape:
        raise DataError(f"{archive}: {split}_images and {split}_labels differ in length")
    if not np.isin(labels, (0, 1)).all():
        raise DataError(f"{archive}: {split}_labels holds other values than 0 and 1")
    names = [f"{archive.name}#{split}/{position:06d}" for position in range(len(labels))]
    return [
        Case(archive, name, int(label), f"{ANONYMOUS}{name}", (split, position))
        for position, (name, label) in enumerate(zip(names, labels, strict=True))
    ]


def _arrays(archive: Path) -> set[str]:
    try:
        with archive.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return set(arrays.files)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{archive} is no readable .npz archive ({type(error).__name__})") from None


@lru_cache(maxsize=8)
def _array(archive: Path, name: str) -> NDArray[np.generic]:
    try:
        with archive.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            array: NDArray[np.generic] = arrays[name]
            return array
    except KeyError:
        raise DataError(f"{archive} has no array {name}") from None
    except ValueError:
        raise DataError(f"{archive}: array {name} is not plain numbers; pickled arrays are not read") from None
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{archive}: array {name} is damaged ({type(error).__name__}); copy the archive again"
        ) from None
