"""Whether acting on the model does more good than flagging everyone or nobody. Pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class DecisionCurve:
    """Net benefit by threshold probability; all arrays (T,).

    Attributes:
        thresholds: probability from which on a film is acted upon; it says how many false alarms one find is worth.
        model, everyone: net benefit in true positives per film; that of acting on nobody is 0.
    """

    thresholds: NDArray[np.float64]
    model: NDArray[np.float64]
    everyone: NDArray[np.float64]


def decision_curve(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> DecisionCurve:
    """Compute the net benefit at thresholds from 0.01 to 0.99.

    Args:
        probabilities: (N,), as shown.
        labels: (N,).

    Source: Vickers and Elkin, Medical Decision Making 26 (2006) 565.
    """
    thresholds = np.linspace(0.01, 0.99, 99)
    odds = thresholds / (1 - thresholds)
    acted = probabilities[None, :] >= thresholds[:, None]  # (T, N)
    found, alarmed = (acted & (labels == 1)).mean(axis=1), (acted & (labels == 0)).mean(axis=1)
    prevalence = float((labels == 1).mean())
    return DecisionCurve(thresholds, found - alarmed * odds, prevalence - (1 - prevalence) * odds)
