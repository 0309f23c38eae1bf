"""Fitting the gate that tells chest films from other pictures."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from training.films import Films
from training.patients import fold_of
from worker.model.artifact import ScopeGate, TurnedAway
from worker.model.scope import ScopeStatistics

COMPONENTS = 128
ACCEPTED_LOSS = 0.005  # share of real chest films that may be turned away, on the worst of the sources
FOLDS = 5
_SEED = 0


def fit_gate(films: Films) -> tuple[ScopeStatistics, ScopeGate]:
    """Describe the films, and set the distance that at most `ACCEPTED_LOSS` of any source's lie beyond.

    Every source counts the same, however many films it has: else a few adults would be strangers among many children.
    The distance is set across folds of patients: each film's own is measured from statistics without its patient. What
    the gate turns away is counted likewise, with the distance of the other folds: so neither flatters.

    Args:
        films: all films of a run, whatever their use; fewer than 320 give fewer components than `COMPONENTS`.

    Returns:
        The statistics of all films, and the gate.
    """
    folds = np.array([fold_of(patient, FOLDS, _SEED) for patient in films.patients.tolist()])
    distances = _cross_fitted(films, folds)
    turned_away = np.zeros(len(films), np.bool_)
    for fold in range(FOLDS):
        rows = folds == fold
        if 0 < rows.sum() < len(films):
            turned_away[rows] = distances[rows] > _largest(distances[~rows], films.sources[~rows])
    statistics = _describe(films)
    gate = ScopeGate(
        statistics_sha256=hashlib.sha256(statistics.encode()).hexdigest(),
        largest_distance=_largest(distances, films.sources),
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


def _cross_fitted(films: Films, folds: NDArray[np.int64]) -> NDArray[np.float32]:
    """Distance of every film from the films of other folds; (N,)."""
    distances = np.zeros(len(films), np.float32)
    for fold in np.unique(folds):
        rows = folds == fold
        others = films if rows.all() else films.take(~rows)
        distances[rows] = _describe(others).distances(films.pixels[rows])
    return distances


def _describe(films: Films) -> ScopeStatistics:
    _, source, counts = np.unique(films.sources, return_inverse=True, return_counts=True)
    return ScopeStatistics.fit(films.pixels, 1 / counts[source], min(COMPONENTS, len(films) // 2))


def _largest(distances: NDArray[np.float32], sources: NDArray[np.str_]) -> float:
    """The distance that at most `ACCEPTED_LOSS` of each source lies beyond."""
    return max(
        float(np.quantile(distances[sources == source], 1 - ACCEPTED_LOSS, method="higher"))
        for source in np.unique(sources)
    )
