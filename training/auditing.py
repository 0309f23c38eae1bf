"""Leaks and shortcuts in a divided data set, and what a model is worth beside the dumbest ones."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from training.cases import Case
from training.evaluation import auc
from training.films import Films, Unreadable, join_films, load_films
from training.patients import merge_identical
from worker.model.input_spec import InputSpec

_THUMBNAIL = 16  # side of a thumbnail, pixels
_NEAR = 2.0  # thumbnails whose grey levels differ by less on average are near duplicates


class Audit(BaseModel):
    """What was found.

    Attributes:
        films: how many per part.
        patients_in_several_parts: patients, after those with an identical picture are merged.
        pictures_in_several_parts: groups of identical pictures.
        identical_pictures: groups of identical pictures, in one part or several.
        label_conflicts: groups of identical pictures with both labels; the names.
        near_duplicates: pairs of films of different patients whose thumbnails are nearly the same; the names.
        floor: how far each shortcut alone gets: AUC, 0.5 to 1, in whichever direction it works.
        nearest_neighbour: AUC on the last part of the label of the nearest thumbnail of the first part.
    """

    model_config = ConfigDict(frozen=True)

    films: dict[str, int]
    patients_in_several_parts: list[str]
    pictures_in_several_parts: int
    identical_pictures: int
    label_conflicts: list[list[str]]
    near_duplicates: list[tuple[str, str]]
    floor: dict[str, float | None]
    nearest_neighbour: float | None

    def lines(self) -> list[str]:
        """Say it in sentences."""
        floor = {**self.floor, "nearest thumbnail": self.nearest_neighbour}
        return [
            "films: " + ", ".join(f"{part} {count}" for part, count in self.films.items()),
            f"patients in several parts: {len(self.patients_in_several_parts)}",
            f"identical pictures: {self.identical_pictures} groups, {self.pictures_in_several_parts} in several parts",
            f"identical pictures with both labels: {len(self.label_conflicts)}",
            f"near duplicates of different patients: {len(self.near_duplicates)} pairs",
            *(f"AUC of {name} alone: {area:.3f}" for name, area in floor.items() if area is not None),
        ]


def audit_parts(
    parts: Mapping[str, Sequence[Case]], advance: Callable[[], None] = lambda: None
) -> tuple[Audit, list[Unreadable]]:
    """Read the films of all parts and audit them.

    Args:
        parts: cases by part, as `training.datasets.find_parts` gives them.
        advance: called after each film read.

    Returns:
        What was found, and the films that could not be read.
    """
    loaded = {part: load_films(cases, InputSpec(), advance) for part, cases in parts.items()}
    films = join_films([part_films for part_films, _ in loaded.values()])
    names = np.repeat(list(loaded), [len(part_films) for part_films, _ in loaded.values()])
    unreadable = [film for _, missing in loaded.values() for film in missing]
    return audit(films, names, shortcuts_of(films)), unreadable


def audit(films: Films, parts: NDArray[np.str_], shortcuts: Mapping[str, NDArray[np.float64]]) -> Audit:
    """Look for leaks and shortcuts.

    Args:
        films: all films of all parts.
        parts: (N,), the part of each film; films of one part stand together.
        shortcuts: by name, a number per film that says nothing about the lungs.
    """
    merged = np.array(merge_identical(films.patients.tolist(), films.hashes.tolist()))
    groups = [rows for rows in _groups(films.hashes.tolist()).values() if len(rows) > 1]
    small = thumbnails(films.pixels)
    return Audit(
        films={part: int((parts == part).sum()) for part in dict.fromkeys(parts.tolist())},
        patients_in_several_parts=[
            patient for patient, rows in _groups(merged.tolist()).items() if len(set(parts[rows].tolist())) > 1
        ],
        pictures_in_several_parts=sum(len(set(parts[rows].tolist())) > 1 for rows in groups),
        identical_pictures=len(groups),
        label_conflicts=[films.names[rows].tolist() for rows in groups if len(set(films.labels[rows].tolist())) > 1],
        near_duplicates=_near_duplicates(small, merged, films.names),
        floor={name: _either_way(values, films.labels) for name, values in shortcuts.items()},
        nearest_neighbour=_nearest_neighbour(small, films.labels, parts),
    )


def shortcuts_of(films: Films) -> dict[str, NDArray[np.float64]]:
    """Measure what is easy to measure: file size, mean grey level, aspect ratio."""
    return {
        "file size": films.file_bytes.astype(np.float64),
        "mean grey level": films.pixels.mean(axis=(1, 2), dtype=np.float64),
        "aspect ratio": films.aspects.astype(np.float64),
    }


def thumbnails(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Average films over blocks: uint8 (N, S, S), S a multiple of 16, to float32 (N, 256)."""
    count, side, _ = pixels.shape
    block = side // _THUMBNAIL
    blocks = pixels.reshape(count, _THUMBNAIL, block, _THUMBNAIL, block)
    small: NDArray[np.float32] = blocks.mean(axis=(2, 4), dtype=np.float32).reshape(count, -1)
    return small


def _groups(keys: Sequence[str]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        rows[key].append(row)
    return rows


def _near_duplicates(
    small: NDArray[np.float32], patients: NDArray[np.str_], names: NDArray[np.str_]
) -> list[tuple[str, str]]:
    pairs = []
    for row in range(len(small) - 1):
        distance = np.abs(small[row + 1 :] - small[row]).mean(axis=1)
        close = np.flatnonzero((distance < _NEAR) & (patients[row + 1 :] != patients[row])) + row + 1
        pairs += [(str(names[row]), str(names[other])) for other in close.tolist()]
    return pairs


def _either_way(values: NDArray[np.float64], labels: NDArray[np.int64]) -> float | None:
    area = auc(values.astype(np.float32), labels)
    return None if area is None else max(area, 1 - area)


def _nearest_neighbour(small: NDArray[np.float32], labels: NDArray[np.int64], parts: NDArray[np.str_]) -> float | None:
    known, asked = parts == parts[0], parts == parts[-1]
    if parts[0] == parts[-1]:
        return None
    nearest = [int(np.abs(small[known] - film).sum(axis=1).argmin()) for film in small[asked]]
    return auc(labels[known][nearest].astype(np.float32), labels[asked])
