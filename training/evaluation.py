"""How good a model is on labelled films: figures at its own threshold, with intervals. Pure."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import norm, rankdata

from worker.model.artifact import OperatingPoint

SENSITIVITIES = (0.95, 0.98, 0.99)
Interval = tuple[float, float]


class Confusion(BaseModel):
    """Films by truth and flag."""

    model_config = ConfigDict(frozen=True)

    tp: int
    fp: int
    tn: int
    fn: int


class Metrics(BaseModel):
    """What `metrics.json` says; a figure that the films cannot give is null.

    Attributes:
        n, positives, patients: films, positive films, patients.
        threshold: the probability at and above which a film is flagged; `threshold_logit` the same as a logit.
        specificity_at_sensitivity: at the thresholds that these very films give; keys are sensitivities.
        expected_calibration_error: of the shown probability, 15 bins of equal width.
        intervals: 95 %; `auc` after DeLong, the others and `auc_by_patient` from a bootstrap over patients.
    """

    model_config = ConfigDict(frozen=True)

    n: int
    positives: int
    patients: int
    auc: float | None
    accuracy: float
    sensitivity: float | None
    specificity: float | None
    precision: float | None
    f1: float | None
    balanced_accuracy: float | None
    threshold: float
    threshold_logit: float
    confusion: Confusion
    specificity_at_sensitivity: dict[str, float | None]
    expected_calibration_error: float
    intervals: dict[str, Interval]


def measure(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    patients: NDArray[np.str_],
    point: OperatingPoint,
    *,
    replicates: int = 1000,
) -> Metrics:
    """Compute every figure.

    Args:
        logits: (N,), N at least 1.
        labels: (N,), 1 for pneumonia.
        patients: (N,), patient keys; the bootstrap draws patients, not films.
        point: threshold and temperature.
        replicates: bootstrap samples.
    """
    flagged = np.array([point.flags(float(logit)) for logit in logits])
    table = confusion(flagged, labels)
    probabilities = np.array([point.probability(float(logit)) for logit in logits])
    return Metrics(
        n=len(labels),
        positives=int(labels.sum()),
        patients=len(np.unique(patients)),
        auc=auc(logits, labels),
        accuracy=(table.tp + table.tn) / len(labels),
        sensitivity=sensitivity(table),
        specificity=specificity(table),
        precision=_share(table.tp, table.tp + table.fp),
        f1=_share(2 * table.tp, 2 * table.tp + table.fp + table.fn),
        balanced_accuracy=_balanced(table),
        threshold=point.threshold,
        threshold_logit=point.threshold_logit,
        confusion=table,
        specificity_at_sensitivity={f"{s:.2f}": specificity_at(logits, labels, s) for s in SENSITIVITIES},
        expected_calibration_error=expected_calibration_error(probabilities, labels),
        intervals=_intervals(logits, labels, patients, flagged, replicates),
    )


def confusion(flagged: NDArray[np.bool_], labels: NDArray[np.int64]) -> Confusion:
    """Count films by truth and flag."""
    sick = labels == 1
    return Confusion(
        tp=int((flagged & sick).sum()),
        fp=int((flagged & ~sick).sum()),
        tn=int((~flagged & ~sick).sum()),
        fn=int((~flagged & sick).sum()),
    )


def sensitivity(table: Confusion) -> float | None:
    """Share of the positive films that are flagged; None without positive films."""
    return _share(table.tp, table.tp + table.fn)


def specificity(table: Confusion) -> float | None:
    """Share of the negative films that are not flagged; None without negative films."""
    return _share(table.tn, table.tn + table.fp)


def auc(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float | None:
    """Area under the ROC curve by ranks, ties count half; None where a class is absent.

    Source: Hanley and McNeil, Radiology 143 (1982) 29.
    """
    positives, negatives = int((labels == 1).sum()), int((labels == 0).sum())
    if not positives or not negatives:
        return None
    ranks = rankdata(logits)
    return float((ranks[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def delong_interval(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Interval | None:
    """95 % interval of the AUC; films count as independent. None with fewer than two films of a class.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837; Sun and Xu, IEEE SPL 21 (2014) 1389.
    """
    sick, well = logits[labels == 1], logits[labels == 0]
    area = auc(logits, labels)
    if area is None or len(sick) < 2 or len(well) < 2:
        return None
    among_all = rankdata(np.concatenate((sick, well)))
    of_sick = (among_all[: len(sick)] - rankdata(sick)) / len(well)
    of_well = 1 - (among_all[len(sick) :] - rankdata(well)) / len(sick)
    spread = float(norm.ppf(0.975)) * math.sqrt(
        np.var(of_sick, ddof=1) / len(sick) + np.var(of_well, ddof=1) / len(well)
    )
    return max(0.0, area - spread), min(1.0, area + spread)


def specificity_at(logits: NDArray[np.float32], labels: NDArray[np.int64], wanted: float) -> float | None:
    """Specificity at the highest threshold whose sensitivity on these films is at least `wanted`."""
    sick, well = np.sort(logits[labels == 1]), logits[labels == 0]
    if not len(sick) or not len(well):
        return None
    threshold = sick[math.floor(len(sick) * (1 - wanted) + 1e-9)]
    return float((well < threshold).mean())


def expected_calibration_error(probabilities: NDArray[np.float64], labels: NDArray[np.int64], bins: int = 15) -> float:
    """Mean distance between shown probability and share of positives, over bins of equal width.

    Source: Naeini et al., AAAI 2015.
    """
    place = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    shown = np.bincount(place, weights=probabilities, minlength=bins)
    seen = np.bincount(place, weights=labels.astype(np.float64), minlength=bins)
    return float(np.abs(shown - seen).sum() / len(labels))


def _intervals(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    patients: NDArray[np.str_],
    flagged: NDArray[np.bool_],
    replicates: int,
) -> dict[str, Interval]:
    figures: dict[str, Callable[[NDArray[np.int64]], float | None]] = {
        "auc_by_patient": lambda rows: auc(logits[rows], labels[rows]),
        "sensitivity": lambda rows: sensitivity(confusion(flagged[rows], labels[rows])),
        "specificity": lambda rows: specificity(confusion(flagged[rows], labels[rows])),
        "balanced_accuracy": lambda rows: _balanced(confusion(flagged[rows], labels[rows])),
    }
    draws: dict[str, list[float]] = {name: [] for name in figures}
    for rows in _resampled(patients, replicates):
        for name, figure in figures.items():
            value = figure(rows)
            if value is not None:
                draws[name].append(value)
    intervals = {name: _middle(values) for name, values in draws.items() if values}
    by_films = delong_interval(logits, labels)
    return intervals if by_films is None else {"auc": by_films, **intervals}


def _resampled(patients: NDArray[np.str_], replicates: int) -> list[NDArray[np.int64]]:
    """Rows of the films of patients drawn with replacement, one array per replicate; the same on every call."""
    dice = np.random.default_rng(0)
    _, owner = np.unique(patients, return_inverse=True)
    films_of = np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner))[:-1])
    draws = (dice.integers(0, len(films_of), len(films_of)) for _ in range(replicates))
    return [np.concatenate([films_of[patient] for patient in draw]) for draw in draws]


def _middle(values: list[float]) -> Interval:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def _balanced(table: Confusion) -> float | None:
    sick, well = sensitivity(table), specificity(table)
    return None if sick is None or well is None else (sick + well) / 2


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
