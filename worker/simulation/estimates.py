"""What independent repetitions say of a mean, and how surely."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REPETITIONS = 20
_STUDENT = 2.093  # 97.5 % quantile of Student's t for REPETITIONS - 1 degrees of freedom


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % confidence interval, mean ± half_width; NaN where there is nothing to go by."""

    mean: float
    half_width: float

    def holds(self, value: float) -> bool:
        """Return whether the interval contains a value."""
        return abs(value - self.mean) <= self.half_width


def pooled_mean(repetitions: Sequence[NDArray[np.float64]]) -> Estimate:
    """Return the mean over all cases of `REPETITIONS` independent repetitions, which may differ in their number.

    The interval is of a ratio of sums, sum of the values by number of cases, linearised over repetitions.
    """
    counts = np.array([len(values) for values in repetitions], dtype=float)
    if not counts.any():
        return Estimate(math.nan, math.nan)
    sums = np.array([values.sum() for values in repetitions])
    mean = float(sums.sum() / counts.sum())
    strays = (sums - mean * counts) / counts.mean()
    half_width = _STUDENT * float(np.sqrt((strays**2).sum() / (REPETITIONS - 1) / REPETITIONS))
    return Estimate(mean, half_width if np.count_nonzero(counts) > 1 else math.nan)
