"""Leaks and shortcuts in a divided data set."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from training.cases import Case
from training.films import Films, Unreadable, load_films, split_films
from training.floor import Floor, dumb_floor
from training.near_duplicates import near_duplicates
from training.patients import merge_identical
from worker.model.input_spec import InputSpec

_NEIGHBOURS_SHARE, _NEIGHBOURS_SEED = 0.2, 0  # of the patients whose nearest thumbnail is asked for


class Audit(BaseModel):
    """What was found; films are named `part/name`.

    Attributes:
        films, positives: how many per part.
        unreadable: films that could not be read and are in no figure.
        patients_in_several_parts: patients, after those with an identical picture are merged.
        pictures_in_several_parts: groups of identical pictures.
        identical_pictures: groups of identical pictures, in one part or several; the names.
        label_conflicts: groups of identical pictures with both labels; the names.
        near_duplicates: pairs of films of different patients that are nearly the same; the names.
        near_duplicates_in_several_parts: how many of them.
        floor: of all films; the nearest thumbnail is asked for a fifth of the patients, among those of the others.
    """

    model_config = ConfigDict(frozen=True)

    films: dict[str, int]
    positives: dict[str, int]
    unreadable: list[Unreadable]
    patients_in_several_parts: list[str]
    pictures_in_several_parts: int
    identical_pictures: list[list[str]]
    label_conflicts: list[list[str]]
    near_duplicates: list[tuple[str, str]]
    near_duplicates_in_several_parts: int
    floor: Floor

    def lines(self) -> list[str]:
        """Say it in sentences."""
        counts = (f"{part} {count} ({self.positives[part]} positive)" for part, count in self.films.items())
        copies, in_parts = len(self.identical_pictures), self.pictures_in_several_parts
        near, near_in_parts = len(self.near_duplicates), self.near_duplicates_in_several_parts
        return [
            "films: " + ", ".join(counts),
            f"films that cannot be read: {len(self.unreadable)}",
            f"patients in several parts: {len(self.patients_in_several_parts)}",
            f"identical pictures: {copies} groups, {in_parts} in several parts",
            f"identical pictures with both labels: {len(self.label_conflicts)}",
            f"near duplicates of different patients: {near} pairs, {near_in_parts} in several parts",
            *self.floor.lines(),
        ]


def audit_parts(parts: Mapping[str, Sequence[Case]], advance: Callable[[], None] = lambda: None) -> Audit:
    """Read the films of all parts and audit them.

    Args:
        parts: cases by part, as `training.datasets.find_all_parts` gives them.
        advance: called after each film read.

    Raises:
        DataError: if none can be read.
    """
    named = [(part, replace(case, name=f"{part}/{case.name}")) for part, cases in parts.items() for case in cases]
    films, unreadable = load_films([case for _, case in named], InputSpec(), advance)
    part_of = {case.name: part for part, case in named}
    return audit(films, np.array([part_of[name] for name in films.names.tolist()]), unreadable)


def audit(films: Films, parts: NDArray[np.str_], unreadable: Sequence[Unreadable] = ()) -> Audit:
    """Look for leaks and shortcuts.

    Args:
        films: all films of all parts.
        parts: (N,), the part of each film.
        unreadable: films that are listed only.
    """
    merged = np.array(merge_identical(films.patients.tolist(), films.hashes.tolist()))
    groups = [rows for rows in _groups(films.hashes).values() if len(rows) > 1]
    near = near_duplicates(films.pixels, merged)
    names = list(dict.fromkeys(parts.tolist()))
    return Audit(
        films={part: int((parts == part).sum()) for part in names},
        positives={part: int(films.labels[parts == part].sum()) for part in names},
        unreadable=list(unreadable),
        patients_in_several_parts=[patient for patient, rows in _groups(merged).items() if _are_several(parts[rows])],
        pictures_in_several_parts=sum(_are_several(parts[rows]) for rows in groups),
        identical_pictures=[films.names[rows].tolist() for rows in groups],
        label_conflicts=[films.names[rows].tolist() for rows in groups if _are_several(films.labels[rows])],
        near_duplicates=[(str(films.names[row]), str(films.names[other])) for row, other in near],
        near_duplicates_in_several_parts=sum(parts[row] != parts[other] for row, other in near),
        floor=_floor(films),
    )


def _floor(films: Films) -> Floor:
    known, asked = split_films(films, share=_NEIGHBOURS_SHARE, seed=_NEIGHBOURS_SEED)
    neighbours = dumb_floor(asked, known).areas
    nearest = {name: neighbours[name] for name in ("nearest thumbnail",) if name in neighbours}
    return Floor(areas=dumb_floor(films).areas | nearest)


def _are_several(values: NDArray[np.generic]) -> bool:
    return len(np.unique(values)) > 1


def _groups(keys: NDArray[np.str_]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(keys.tolist()):
        rows[key].append(row)
    return rows
