"""Fitting the gate that tells chest films from other pictures."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from training.films import Films
from training.patients import fold_of
from worker.model.artifact import ScopeGate, TurnedAway
from worker.model.scope import ScopeStatistics

COMPONENTS = 128
ACCEPTED_LOSS = 0.005  # share of the patients of a source of whom a film may be turned away
FOLDS = 5
_SEED = 0
_LEAST_PATIENTS = 200  # one odd film among fewer would set the distance for everybody
_OTHERS = ""


def fit_gate(films: Films) -> tuple[ScopeStatistics, ScopeGate]:
    """Describe the films, and set the distance that at most `ACCEPTED_LOSS` of the patients of any source lie beyond.

    Every source counts the same, however many films it has: else a few adults would be strangers among many children.
    Sources of fewer than 200 patients are taken together, and set no distance while they are fewer than that.

    Each film's distance is measured from statistics without its patient, and what the gate turns away is counted with
    the distance that the other folds of patients set; their own distances come from statistics that know the fold.

    Args:
        films: all films of a run, whatever their use; fewer than 320 give fewer components than `COMPONENTS`.

    Returns:
        The statistics of all films, and the gate.
    """
    groups = _groups(films)
    folds = np.array([fold_of(patient, FOLDS, _SEED) for patient in films.patients.tolist()])
    distances = _cross_fitted(films, groups, folds)
    turned_away = np.zeros(len(films), np.bool_)
    for fold in range(FOLDS):
        rows = folds == fold
        if 0 < rows.sum() < len(films):
            turned_away[rows] = distances[rows] > _largest(distances[~rows], films.patients[~rows], groups[~rows])
    statistics = _describe(films, groups)
    gate = ScopeGate(
        statistics_sha256=hashlib.sha256(statistics.encode()).hexdigest(),
        largest_distance=_largest(distances, films.patients, groups),
        measurements=tuple(
            TurnedAway(
                cases=f"{source}: {FOLDS} folds of patients",
                images=int((films.sources == source).sum()),
                turned_away=int(turned_away[films.sources == source].sum()),
            )
            for source in dict.fromkeys(films.sources.tolist())
        ),
    )
    return statistics, gate


def _groups(films: Films) -> NDArray[np.str_]:
    """The source of each film that is large enough to stand for itself, else `_OTHERS`; (N,)."""
    patients = {source: len(np.unique(films.patients[films.sources == source])) for source in np.unique(films.sources)}
    small = [source for source, count in patients.items() if count < _LEAST_PATIENTS]
    return np.where(np.isin(films.sources, small), _OTHERS, films.sources)


def _cross_fitted(films: Films, groups: NDArray[np.str_], folds: NDArray[np.int64]) -> NDArray[np.float32]:
    """Distance of every film from the films of other folds; (N,)."""
    distances = np.zeros(len(films), np.float32)
    for fold in np.unique(folds):
        rows = folds == fold
        known = rows if rows.all() else ~rows
        distances[rows] = _describe(films.take(known), groups[known]).distances(films.pixels[rows])
    return distances


def _describe(films: Films, groups: NDArray[np.str_]) -> ScopeStatistics:
    _, group, counts = np.unique(groups, return_inverse=True, return_counts=True)
    shares = 1 / np.maximum(counts, min(_LEAST_PATIENTS, counts.max()))  # a small group counts by its films
    return ScopeStatistics.fit(films.pixels, shares[group], min(COMPONENTS, len(films) // 2))


def _largest(distances: NDArray[np.float32], patients: NDArray[np.str_], groups: NDArray[np.str_]) -> float:
    """The distance that at most `ACCEPTED_LOSS` of each group's patients have a film beyond."""
    farthest = {group: _farthest(distances[groups == group], patients[groups == group]) for group in np.unique(groups)}
    if len(farthest) > 1 and len(farthest.get(_OTHERS, ())) < _LEAST_PATIENTS:
        farthest.pop(_OTHERS, None)
    return max(float(np.quantile(values, 1 - ACCEPTED_LOSS, method="higher")) for values in farthest.values())


def _farthest(distances: NDArray[np.float32], patients: NDArray[np.str_]) -> NDArray[np.float32]:
    """The largest distance of each patient's films."""
    _, owner = np.unique(patients, return_inverse=True)
    farthest = np.zeros(owner.max() + 1, np.float32)
    np.maximum.at(farthest, owner, distances)
    return farthest
