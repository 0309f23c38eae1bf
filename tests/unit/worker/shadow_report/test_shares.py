"""Wilson's interval, against another implementation and against chance."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from worker.shadow_report.shares import share


@pytest.mark.parametrize("whole", [1, 2, 7, 19, 100, 2500])
def test_intervals_are_those_of_scipy(whole: int) -> None:
    """Every share of a few wholes has the interval that scipy calls Wilson's, to ten digits."""
    for part in range(0, whole + 1, max(1, whole // 50)):
        found, expected = share(part, whole), binomtest(part, whole).proportion_ci(0.95, method="wilson")
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-10)


def test_a_share_of_nothing_has_no_value() -> None:
    """Without cases there is neither a share nor an interval."""
    assert share(0, 0).model_dump() == {"part": 0, "whole": 0, "value": None, "low": None, "high": None}


def test_ends_are_reached_and_never_without_width() -> None:
    """One of one may well be luck: its interval goes down to 21 %, and up to exactly 1."""
    alone, nothing = share(1, 1), share(0, 10)
    assert (alone.value, alone.high, nothing.low) == (1.0, 1.0, 0.0)
    assert alone.low == pytest.approx(0.2065, abs=1e-4)
    assert nothing.high == pytest.approx(0.2775, abs=1e-4)  # 0 of 10, Brown, Cai and DasGupta 2001


@pytest.mark.parametrize("truth", [0.5, 0.9, 0.97])
def test_intervals_hold_what_they_promise_on_average(truth: float) -> None:
    """Over the numbers of cases that sites have, the truth lies within 94 to 97 of 100 intervals (exact, no draws)."""
    covered = [_coverage(truth, whole) for whole in range(20, 200, 9)]
    assert 0.94 < float(np.mean(covered)) < 0.97


def _coverage(truth: float, whole: int) -> float:
    found = [share(part, whole) for part in range(whole + 1)]
    holds = [each.low is not None and each.high is not None and each.low <= truth <= each.high for each in found]
    return float(binom.pmf(np.arange(whole + 1), whole, truth)[holds].sum())
