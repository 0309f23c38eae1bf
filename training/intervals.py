"""How sure a figure is: DeLong for areas, a bootstrap over patients, exact bounds for shares. Pure."""

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm, rankdata

Interval = tuple[float, float]
Figure = Callable[[NDArray[np.int64]], float | None]  # of the films of these rows; None where they cannot give it


def placements(
    logits: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Place every film among those of the other class; ties count half.

    Args:
        logits: (N,).
        labels: (N,), both classes present.

    Returns:
        For each positive film the share of negative films below it, and for each negative film the share of positive
        films above it. The mean of either is the area under the ROC curve.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837; Sun and Xu, IEEE SPL 21 (2014) 1389.
    """
    sick, well = logits[labels == 1], logits[labels == 0]
    ranks = rankdata(np.concatenate((sick, well)))
    of_sick = (ranks[: len(sick)] - rankdata(sick)) / len(well)
    of_well = 1 - (ranks[len(sick) :] - rankdata(well)) / len(sick)
    return of_sick, of_well


def delong_interval(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Interval | None:
    """95 % interval of the area under the ROC curve; films count as independent.

    Returns:
        Lower and upper bound, None with fewer than two films of a class. Where no film is misplaced the two are equal:
        the method knows no width there.

    Source: as `placements`.
    """
    if min((labels == 1).sum(), (labels == 0).sum()) < 2:
        return None
    of_sick, of_well = placements(logits, labels)
    variance = np.var(of_sick, ddof=1) / len(of_sick) + np.var(of_well, ddof=1) / len(of_well)
    area, spread = float(of_sick.mean()), float(norm.ppf(0.975)) * math.sqrt(variance)
    return max(0.0, area - spread), min(1.0, area + spread)


def exact_interval(part: int, whole: int) -> Interval | None:
    """95 % interval of a share of independent cases; None without cases.

    Source: Clopper and Pearson, Biometrika 26 (1934) 404.
    """
    if not whole:
        return None
    low, high = binomtest(part, whole).proportion_ci(0.95, method="exact")
    return float(low), float(high)


def bootstrap_intervals(
    figures: Mapping[str, Figure], patients: NDArray[np.str_], replicates: int
) -> dict[str, Interval]:
    """95 % intervals from patients drawn with replacement, films of a patient together; the same on every call.

    Args:
        figures: by name, what is computed from the rows of a draw.
        patients: (N,), patient keys.
        replicates: number of draws.

    Returns:
        By name, the 2.5 and 97.5 percentiles; a figure that no draw could give is left out.
    """
    draws: dict[str, list[float]] = {name: [] for name in figures}
    for rows in _resampled(patients, replicates):
        for name, figure in figures.items():
            value = figure(rows)
            if value is not None:
                draws[name].append(value)
    return {name: _middle(values) for name, values in draws.items() if values}


def _resampled(patients: NDArray[np.str_], replicates: int) -> Iterator[NDArray[np.int64]]:
    dice = np.random.default_rng(0)
    _, owner = np.unique(patients, return_inverse=True)
    films_of = np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner))[:-1])
    for _ in range(replicates):
        draw = dice.integers(0, len(films_of), len(films_of))
        yield np.concatenate([films_of[patient] for patient in draw])


def _middle(values: list[float]) -> Interval:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)
