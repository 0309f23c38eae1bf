"""Whether the shown probability is the share that is seen."""

import numpy as np
import pytest

from training.reliability import brier_score, expected_calibration_error, reliability_curve


def test_the_curve_compares_shown_with_seen_and_counts_the_films() -> None:
    """Ten films shown 0.1, one of them positive, and four shown 0.85, three positive; empty bins are left out."""
    shown = np.array([0.1] * 10 + [0.85] * 4)
    labels = np.array([1] + [0] * 9 + [1, 1, 1, 0])
    low, high = reliability_curve(shown, labels)
    assert (low.shown, low.seen, low.films) == (pytest.approx(0.1), pytest.approx(0.1), 10)
    assert (high.shown, high.seen, high.films) == (pytest.approx(0.85), 0.75, 4)


def test_every_film_is_in_one_bin() -> None:
    """Also those at the edges, 0 and 1."""
    shown = np.concatenate(([0.0, 1.0], np.linspace(0, 1, 101)))
    assert sum(found.films for found in reliability_curve(shown, np.resize([0, 1], 103))) == 103


@pytest.mark.parametrize(("label", "score"), [(1, 0.36), (0, 0.16)])
def test_brier_is_the_squared_distance_also_for_one_class(label: int, score: float) -> None:
    """Shown 0.4: 0.6 squared if it is there, 0.4 squared if it is not."""
    assert brier_score(np.full(5, 0.4), np.full(5, label)) == pytest.approx(score)


def test_calibration_error_is_the_distance_between_shown_and_seen() -> None:
    """Shown 0.9 and seen half the time is an error of 0.4; shown 0.5 there is none."""
    labels = np.array([0, 1] * 50)
    assert expected_calibration_error(np.full(100, 0.9), labels) == pytest.approx(0.4)
    assert expected_calibration_error(np.full(100, 0.5), labels) == pytest.approx(0.0)
