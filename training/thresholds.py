"""Choosing the threshold so that a sensitivity is promised rather than hoped for. Pure.

The unit is the patient. A patient's score is the lowest of the positive films: a missed film is a missed patient.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import beta, binom

from training.errors import CannotCertifyError


@dataclass(frozen=True, slots=True)
class Certificate:
    """A threshold with its promise.

    Attributes:
        threshold_logit: flag at and above it.
        target, confidence: the true sensitivity is at least `target` in a share `confidence` of all calibration draws.
        positives: positive patients it was chosen on.
        allowed_misses: how many of them may lie below it.
        lower_bound: one-sided Clopper-Pearson bound of the sensitivity when that many do.
    """

    threshold_logit: float
    target: float
    confidence: float
    positives: int
    allowed_misses: int
    lower_bound: float


def positives_needed(target: float, confidence: float) -> int:
    """Positives that certify `target` when none is missed: the least n with target**n <= 1 - confidence."""
    return math.ceil(math.log(1 - confidence) / math.log(target))


def allowed_misses(positives: int, target: float, confidence: float) -> int:
    """Count the positives that may be missed with the promise still kept.

    Returns:
        The largest k with P(at most k misses | sensitivity = target) <= 1 - confidence.

    Raises:
        CannotCertifyError: if not even k = 0 will do.

    Source: Clopper and Pearson, Biometrika 26 (1934) 404; Tong, Feng and Li, Science Advances 4 (2018) eaao1659.
    """
    needed = positives_needed(target, confidence)
    if positives < needed:
        raise CannotCertifyError(positives, needed, target, confidence)
    counts = np.arange(positives + 1)
    return int(np.flatnonzero(binom.cdf(counts, positives, 1 - target) <= 1 - confidence)[-1])


def lower_bound(positives: int, misses: int, confidence: float) -> float:
    """One-sided Clopper-Pearson lower bound of the sensitivity, in [0, 1]."""
    if misses >= positives:
        return 0.0
    return float(beta.ppf(1 - confidence, positives - misses, misses + 1))


def patient_scores(
    logits: NDArray[np.float32], labels: NDArray[np.int64], patients: NDArray[np.str_]
) -> NDArray[np.float64]:
    """Return the lowest logit of every positive patient's positive films, ascending, shape (positive patients,)."""
    lowest: dict[str, float] = {}
    for logit, patient in zip(logits[labels == 1].tolist(), patients[labels == 1].tolist(), strict=True):
        lowest[patient] = min(logit, lowest.get(patient, math.inf))
    return np.sort(np.array(list(lowest.values()), dtype=np.float64))


def certify(scores: NDArray[np.float64], *, target: float, confidence: float) -> Certificate:
    """Choose the highest threshold that keeps the promise.

    Logits are ranked, not probabilities: a sigmoid saturates and makes ties.

    Args:
        scores: one score per positive patient of the calibration data, which chose nothing else, any order.
        target: least sensitivity, in (0, 1).
        confidence: share of calibration draws in which the promise must hold, in (0, 1).

    Raises:
        CannotCertifyError: if the patients are too few; it says how many are needed.
    """
    misses = allowed_misses(len(scores), target, confidence)
    return Certificate(
        threshold_logit=float(np.sort(scores)[misses]),
        target=target,
        confidence=confidence,
        positives=len(scores),
        allowed_misses=misses,
        lower_bound=lower_bound(len(scores), misses, confidence),
    )


def conformal_risk_control(scores: NDArray[np.float64], *, target: float) -> float:
    """Choose the highest threshold whose expected miss rate on the next patient is at most 1 - target.

    Weaker than `certify`: it holds on average over calibration draws, not in nearly all of them.

    Raises:
        CannotCertifyError: if there are fewer than 1 / (1 - target) - 1 scores.

    Source: Angelopoulos et al., Conformal Risk Control, ICLR 2024.
    """
    misses = math.floor((len(scores) + 1) * (1 - target) + 1e-9) - 1
    if misses < 0:
        raise CannotCertifyError(len(scores), math.ceil(1 / (1 - target) - 1e-9) - 1, target, 0.5)
    return float(np.sort(scores)[misses])


def balanced_threshold(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the logit with the highest balanced accuracy, which is also Youden's: J = 2 * balanced accuracy - 1."""
    candidates = np.unique(logits)
    sensitivity = 1 - np.searchsorted(np.sort(logits[labels == 1]), candidates) / max((labels == 1).sum(), 1)
    specificity = np.searchsorted(np.sort(logits[labels == 0]), candidates) / max((labels == 0).sum(), 1)
    return float(candidates[np.argmax(sensitivity + specificity)])


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Find the temperature in [0.05, 20] with the least cross-entropy of sigmoid(logit / temperature).

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
    """
    signed = np.where(labels == 1, logits, -logits).astype(np.float64)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -signed / math.exp(log_temperature)).mean())

    return math.exp(float(minimize_scalar(loss, bounds=(math.log(0.05), math.log(20)), method="bounded").x))
