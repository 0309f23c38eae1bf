"""How sure a figure is, against brute force, closed forms and simulation."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from training.intervals import bootstrap_intervals, delong_interval, exact_interval, placements


def test_delong_is_what_counting_every_pair_gives() -> None:
    """Area and variance by the definition of 1988, pair by pair, ties included."""
    dice = np.random.default_rng(2)
    labels = dice.integers(0, 2, 50)
    logits = np.round(dice.normal(size=50) + labels, 1).astype(np.float32)
    sick, well = logits[labels == 1], logits[labels == 0]
    won = (sick[:, None] > well[None, :]) + 0.5 * (sick[:, None] == well[None, :])
    variance = won.mean(axis=1).var(ddof=1) / len(sick) + won.mean(axis=0).var(ddof=1) / len(well)
    interval = delong_interval(logits, labels)
    assert interval is not None
    assert sum(interval) / 2 == pytest.approx(won.mean())
    assert sum(interval) / 2 == pytest.approx(roc_auc_score(labels, logits))
    assert interval[1] - interval[0] == pytest.approx(2 * 1.959964 * np.sqrt(variance), rel=1e-6)


def test_delong_covers_the_true_area() -> None:
    """Over 300 draws of a known distribution about 95 % of the intervals contain its area."""
    dice = np.random.default_rng(6)
    labels = np.repeat([0, 1], 60)
    true_area = 0.760249938906523  # normal distribution function at 1 / sqrt(2)
    covered = 0
    for _ in range(300):
        interval = delong_interval((dice.normal(size=120) + labels).astype(np.float32), labels)
        assert interval is not None
        covered += interval[0] <= true_area <= interval[1]
    assert 0.91 <= covered / 300 <= 0.99


def test_the_mean_placement_of_either_class_is_the_area() -> None:
    """Both sides of every pair count the same wins."""
    labels, logits = np.array([0, 1, 0, 1, 1]), np.array([0.1, 0.4, 0.4, 0.2, 0.9], np.float32)
    of_sick, of_well = placements(logits, labels)
    assert of_sick.tolist() == [0.75, 0.5, 1]
    assert of_sick.mean() == pytest.approx(of_well.mean())


def test_one_film_of_a_class_gives_no_interval() -> None:
    """A variance needs two."""
    assert delong_interval(np.array([1, 2, 3], np.float32), np.array([0, 1, 1])) is None


def test_exact_bounds_are_those_of_the_closed_form() -> None:
    """All of 60: the lower bound is the 60th root of 0.025. None of none says nothing."""
    assert exact_interval(60, 60) == pytest.approx((0.025 ** (1 / 60), 1))
    assert exact_interval(0, 0) is None


def test_the_bootstrap_keeps_a_patients_films_together() -> None:
    """With one patient every draw is the same; with two, of 3 films and 1, the mean is one of three."""
    values = np.array([1.0, 1.0, 1.0, 0.0])
    figures = {"mean": lambda rows: float(values[rows].mean()), "never": lambda _rows: None}
    alone = bootstrap_intervals(figures, np.array(["a"] * 4), 20)
    assert alone == {"mean": (0.75, 0.75)}
    assert bootstrap_intervals(figures, np.array(["a", "a", "a", "b"]), 200) == {"mean": (0, 1)}
