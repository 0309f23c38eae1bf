"""Whether the probability that is shown is the share that is seen. Pure."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

_CURVE_BINS = 10


class ReliabilityBin(BaseModel):
    """Films that were shown about the same probability.

    Attributes:
        shown: their mean probability.
        seen: the share of positives among them.
        films: how many they are.
    """

    model_config = ConfigDict(frozen=True)

    shown: float
    seen: float
    films: int


def reliability_curve(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[ReliabilityBin, ...]:
    """Compare shown with seen over ten bins of equal width; bins without films are left out."""
    seen, shown = calibration_curve(labels, probabilities, n_bins=_CURVE_BINS)
    inner_edges = np.linspace(0, 1, _CURVE_BINS + 1)[1:-1]
    counts = np.bincount(np.searchsorted(inner_edges, probabilities), minlength=_CURVE_BINS)  # scikit-learn's own rule
    bins = zip(shown.tolist(), seen.tolist(), counts[counts > 0].tolist(), strict=True)
    return tuple(ReliabilityBin(shown=mean, seen=share, films=films) for mean, share, films in bins)


def brier_score(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Mean squared distance between shown probability and truth: 0 is best, 0.25 is what always saying 0.5 gets.

    Source: Brier, Monthly Weather Review 78 (1950) 1.
    """
    return float(brier_score_loss(labels, probabilities, pos_label=1))


def expected_calibration_error(probabilities: NDArray[np.float64], labels: NDArray[np.int64], bins: int = 15) -> float:
    """Mean distance between shown probability and share of positives, over bins of equal width.

    Source: Naeini et al., AAAI 2015.
    """
    place = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    shown = np.bincount(place, weights=probabilities, minlength=bins)
    seen = np.bincount(place, weights=labels.astype(np.float64), minlength=bins)
    return float(np.abs(shown - seen).sum() / len(labels))
