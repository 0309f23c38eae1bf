"""Labelled films in memory, every one through the same preparation as in serving."""

import csv
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from operator import not_
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicom_io.errors import ImageError
from training.archives import archive_radiograph
from training.cases import Case
from training.errors import DataError
from training.facts import Facts
from training.film_cache import FilmCache, standard_cache
from training.patients import first_of_each, is_held_out, merge_identical
from training.reading import prepared_film
from worker.model.input_spec import InputSpec

UNREADABLE_NAME = "unreadable.csv"


@dataclass(frozen=True, slots=True, eq=False)
class Films:
    """Prepared films and what is known of them; row i of everything is film i.

    Attributes:
        pixels: uint8 (N, size, size).
        labels: int64 (N,), 1 for pneumonia.
        patients: (N,), patient keys.
        names: (N,), what reports call the films.
        hashes: (N,), SHA-256 of each film's pixels.
        sources: (N,), the data set that each film is from.
        ages: float32 (N,), years, NaN where unknown.
        views: (N,), `PA`, `AP` and the like, empty where unknown.
        file_bytes: int64 (N,), size of the file; for a film inside an archive that of its pixels.
        aspects: float32 (N,), columns over rows of the picture before preparation.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    patients: NDArray[np.str_]
    names: NDArray[np.str_]
    hashes: NDArray[np.str_]
    sources: NDArray[np.str_]
    ages: NDArray[np.float32]
    views: NDArray[np.str_]
    file_bytes: NDArray[np.int64]
    aspects: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Sequence[int] | NDArray[np.int64] | NDArray[np.bool_]) -> "Films":
        """Return the films of these rows; the pixels are copied unless a mask names them all."""
        index = np.asarray(rows)
        if index.size == 0:
            index = index.astype(np.int64)
        if index.dtype == np.bool_ and index.all():
            return self
        return Films(*(getattr(self, name)[index] for name in self.__slots__))

    @property
    def sha256(self) -> str:
        """Hash over the sorted hashes of the films: the identity of the pictures, whatever their order and labels."""
        return hashlib.sha256("\n".join(sorted(self.hashes.tolist())).encode()).hexdigest()

    @property
    def cases_sha256(self) -> str:
        """Hash over the sorted lines `<hash of the film> <label>`: the identity of labelled cases."""
        lines = sorted(f"{pixels} {label}" for pixels, label in zip(self.hashes, self.labels, strict=True))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A listed film that could not be read, and why."""

    name: str
    cause: str


@dataclass(frozen=True, slots=True)
class _Read:
    case: Case
    known: Facts
    file_bytes: int
    aspect: float


def load_films(
    cases: Sequence[Case], spec: InputSpec, advance: Callable[[], None] = lambda: None
) -> tuple[Films, list[Unreadable]]:
    """Read and prepare films.

    Args:
        cases: what to read.
        spec: preparation of the model.
        advance: called after each case, for a progress bar.

    Returns:
        The films that could be read, in order, and those that could not.

    Raises:
        DataError: if none could be read.

    Large files are decoded once: see `training.film_cache`.
    """
    pixels = np.empty((len(cases), spec.size, spec.size), np.uint8)
    kept: list[_Read] = []
    unreadable = []
    cache = standard_cache()
    for case in cases:
        try:
            film, read = _read(case, spec, cache)
            pixels[len(kept)] = film
            kept.append(read)
        except (ImageError, OSError, DataError) as error:
            unreadable.append(Unreadable(case.name, str(error)))
        advance()
    if not kept:
        raise DataError(f"none of the {len(cases)} films could be read; the first: {unreadable[0].cause}")
    return _films(pixels[: len(kept)], kept), unreadable


def write_unreadable(unreadable: Sequence[Unreadable], output: Path) -> None:
    """Write `unreadable.csv` (path, cause) into a run's folder; with nothing to list, an older list is deleted."""
    if not unreadable:
        (output / UNREADABLE_NAME).unlink(missing_ok=True)
        return
    output.mkdir(parents=True, exist_ok=True)
    with (output / UNREADABLE_NAME).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("path", "cause"))
        table.writerows((film.name, film.cause) for film in unreadable)


def split_films(films: Films, *, share: float, seed: int, kept_out: Sequence[str] = ()) -> tuple[Films, Films]:
    """Divide films by patient; identical pictures are merged, and so are the patients who share one.

    Args:
        films: all films.
        share: share of the patients in the second part.
        seed: of the draw.
        kept_out: patients in neither part, and everyone who shares a picture with them.

    Returns:
        Training films and validation films.
    """
    merged = merge_identical(films.patients.tolist(), films.hashes.tolist())
    everyone = dict(zip(films.patients.tolist(), merged, strict=True))
    barred = {everyone[patient] for patient in kept_out if patient in everyone}
    rows = [row for row in first_of_each(films.hashes.tolist()) if merged[row] not in barred]
    held_out = [is_held_out(merged[row], share, seed) for row in rows]
    known = replace(films, patients=np.array(merged))
    return known.take(list(compress(rows, map(not_, held_out)))), known.take(list(compress(rows, held_out)))


def without_duplicates(films: Films) -> Films:
    """Keep the first of identical pictures, and give patients who share one a common key."""
    merged = np.array(merge_identical(films.patients.tolist(), films.hashes.tolist()))
    return replace(films, patients=merged).take(first_of_each(films.hashes.tolist()))


def join_films(parts: Sequence[Films]) -> Films:
    """Put several sets behind one another; one set is returned as it is."""
    if len(parts) == 1:
        return parts[0]
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in Films.__slots__]
    return Films(*columns)


def _read(case: Case, spec: InputSpec, cache: FilmCache) -> tuple[NDArray[np.uint8], _Read]:
    if case.index:
        radiograph = archive_radiograph(case)
        film, file_bytes = prepared_film(radiograph, spec, Facts()), radiograph.frames[0].nbytes
    else:
        film, file_bytes = cache.read(case.path, spec), case.path.stat().st_size
    known = Facts(film.facts.age if case.age is None else case.age, case.view or film.facts.view)
    return film.pixels, _Read(case, known, file_bytes, film.aspect)


def _films(pixels: NDArray[np.uint8], read: Sequence[_Read]) -> Films:
    return Films(
        pixels=pixels,
        labels=np.array([film.case.label for film in read], dtype=np.int64),
        patients=np.array([film.case.patient for film in read]),
        names=np.array([film.case.name for film in read]),
        hashes=np.array([hashlib.sha256(film.tobytes()).hexdigest() for film in pixels]),
        sources=np.array([film.case.source for film in read]),
        ages=np.array([film.known.age for film in read], dtype=np.float32),
        views=np.array([film.known.view or "" for film in read]),
        file_bytes=np.array([film.file_bytes for film in read], dtype=np.int64),
        aspects=np.array([film.aspect for film in read], dtype=np.float32),
    )
