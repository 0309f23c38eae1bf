"""Reading the films of a run and dividing them by patient."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from training.cases import ANONYMOUS, CLASSES, Case
from training.config import Recipe
from training.datasets import find_cases, require_both_classes, source_name
from training.errors import DataError
from training.films import Films, Unreadable, join_films, load_films, split_films
from worker.model.input_spec import InputSpec

Tell = Callable[[str], None]  # a line for the person who waits
# Opens a stretch of work by its name and number of steps; gives what is to be called after each.
Steps = Callable[[str, int], AbstractContextManager[Callable[[], None]]]

_SMOKE_FILMS = 40  # of each class and data set


@dataclass(frozen=True, slots=True)
class Parts:
    """The films of a run, by the name of their source, divided by patient.

    Attributes:
        training: what is learned from.
        selection: films that watch over the run, where the recipe selects; no others see it.
        validation: films that choose threshold and temperature, and share in the gate.
        old: films of earlier runs that are mixed into the training.
        unreadable: films that are in none of them.
    """

    training: dict[str, Films]
    selection: dict[str, Films]
    validation: dict[str, Films]
    old: dict[str, Films]
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def sha256(self) -> str:
        """Identity of all films that change the weights or the threshold: use, pixels, label and patient of each."""
        rows = sorted(
            row
            for use in ("training", "selection", "validation", "old")
            for films in getattr(self, use).values()
            for row in _identities(use, films)
        )
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def read_parts(
    data: Sequence[Path],
    kept_out: Sequence[Path],
    recipe: Recipe,
    tell: Tell,
    steps: Steps,
    *,
    old: Sequence[Path] = (),
    smoke: bool = False,
) -> Parts:
    """Read all sources and divide their patients, duplicates across sources included.

    Args:
        data: class folders (their `train` part, where they are divided), manifests or archives.
        kept_out: data whose patients stay out of the run.
        recipe: seed and shares of the division.
        tell: told what cannot be read.
        steps: progress of a named stretch of work.
        old: data of earlier runs, divided alike, of which each epoch takes a share.
        smoke: take but a few films of each class.

    Raises:
        DataError: if nothing can be read, or a part lacks a class.
    """
    sources = [source_name(path) for path in (*data, *old)]
    if len(set(sources)) < len(sources):
        raise DataError(f"two data sets have the same folder name ({', '.join(sources)}); rename one")
    listed = {path: find_cases(path, "train") for path in (*data, *old)}
    require_both_classes([case for cases in listed.values() for case in cases], "training")
    read = [_read(_few(cases) if smoke else cases, tell, steps) for cases in listed.values()]
    films = _of_one_label(join_films([films for films, _ in read]), tell)
    barred = _barred(films, kept_out, tell, steps)
    rest, validation = split_films(films, share=recipe.validation_share, seed=recipe.seed, kept_out=barred)
    train, selection = split_films(rest, share=recipe.selection_share, seed=recipe.seed + 1)
    uses = {"training": train, "validation": validation} | ({"selection": selection} if recipe.selection_share else {})
    for use, part in uses.items():
        _require_both_classes(part, use)
    learned = _by_source(train)
    new = {name: films for name, films in learned.items() if name in sources[: len(data)]}
    if not new:
        raise DataError(
            f"no film of {', '.join(sources[: len(data)])} is left for training: all its patients are kept out or held "
            "out; add films of more patients"
        )
    return Parts(
        training=new,
        selection=_by_source(selection),
        validation=_by_source(validation),
        old={name: films for name, films in learned.items() if name not in sources[: len(data)]},
        unreadable=tuple(film for _, unreadable in read for film in unreadable),
    )


def _identities(use: str, films: Films) -> Iterator[tuple[str, str, int, str]]:
    columns = (films.hashes.tolist(), films.labels.tolist(), films.patients.tolist())
    return ((use, pixels, label, patient) for pixels, label, patient in zip(*columns, strict=True))


def _read(cases: Sequence[Case], tell: Tell, steps: Steps) -> tuple[Films, list[Unreadable]]:
    source = cases[0].source
    with steps(f"reading {source}", len(cases)) as advance:
        films, unreadable = load_films(cases, InputSpec(), advance)
    for film in unreadable:
        tell(f"left out, cannot be read: {film.name} ({film.cause})")
    return replace(films, names=np.char.add(f"{source}/", films.names)), unreadable


def _of_one_label(films: Films, tell: Tell) -> Films:
    """Leave out identical pictures that carry both labels: one of the two is wrong, and nobody knows which."""
    well, sick = (films.hashes[films.labels == label] for label in range(len(CLASSES)))
    torn = np.isin(films.hashes, np.intersect1d(well, sick))
    for name in films.names[torn].tolist():
        tell(f"left out, the same picture carries both labels: {name}")
    return films.take(~torn)


def _barred(films: Films, kept_out: Sequence[Path], tell: Tell, steps: Steps) -> list[str]:
    """Patients of the films that stay out, readable or not, and owners of the same pictures under other names."""
    barred: set[str] = set()
    for path in kept_out:
        cases = find_cases(path)
        barred.update(case.patient for case in cases if not case.patient.startswith(ANONYMOUS))
        kept, _ = _read(cases, tell, steps)
        barred.update(films.patients[np.isin(films.hashes, kept.hashes)].tolist())
    return sorted(barred)


def _few(cases: Sequence[Case]) -> list[Case]:
    """Take some films of each class, spread over the list, whose neighbours are often of one patient."""
    classes = [[case for case in cases if case.label == label] for label in range(len(CLASSES))]
    return [case for mine in classes for case in mine[:: max(1, len(mine) // _SMOKE_FILMS)][:_SMOKE_FILMS]]


def _require_both_classes(films: Films, use: str) -> None:
    for label, name in enumerate(CLASSES):
        if not (films.labels == label).any():
            raise DataError(f"no {name} film is left for {use}; add films of more {name} patients")


def _by_source(films: Films) -> dict[str, Films]:
    return {source: films.take(films.sources == source) for source in dict.fromkeys(films.sources.tolist())}
