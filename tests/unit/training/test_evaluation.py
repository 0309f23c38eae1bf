"""The figures of the report, against scikit-learn and by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score, roc_curve

from training.evaluation import (
    auc,
    delong_interval,
    expected_calibration_error,
    measure,
    specificity_at,
)
from worker.model.artifact import OperatingPoint, default_directory, load_card


@pytest.fixture(scope="module")
def point() -> OperatingPoint:
    """An operating point at logit 0."""
    shipped = load_card(default_directory()).operating_point
    return shipped.model_copy(update={"threshold_logit": 0.0, "temperature": 1.0})


@pytest.fixture(scope="module")
def drawn() -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.str_]]:
    """Films of two overlapping groups, two per patient, with ties."""
    dice = np.random.default_rng(5)
    labels = np.repeat(dice.integers(0, 2, 200), 2)
    logits = np.round(dice.normal(size=400) + 1.5 * labels - 0.7, 1).astype(np.float32)
    return logits, labels, np.repeat(np.arange(200).astype(str), 2)


def test_the_figures_are_those_of_scikit_learn(
    point: OperatingPoint, drawn: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.str_]]
) -> None:
    """AUC with ties, F1 and balanced accuracy agree with the reference library."""
    logits, labels, patients = drawn
    metrics = measure(logits, labels, patients, point, replicates=20)
    assert metrics.auc == pytest.approx(roc_auc_score(labels, logits))
    assert metrics.f1 == pytest.approx(f1_score(labels, logits >= 0))
    assert metrics.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, logits >= 0))
    assert metrics.confusion.tp + metrics.confusion.fn == metrics.positives == labels.sum()
    assert (metrics.n, metrics.patients) == (400, 200)


def test_specificity_at_a_sensitivity_is_the_best_the_curve_gives(
    drawn: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.str_]],
) -> None:
    """No other threshold with that sensitivity has a higher specificity."""
    logits, labels, _ = drawn
    false_alarms, found, _ = roc_curve(labels, logits, drop_intermediate=False)
    for wanted in (0.95, 0.98, 0.99):
        assert specificity_at(logits, labels, wanted) == pytest.approx(1 - false_alarms[found >= wanted].min())


def test_intervals_hold_their_figures_and_count_patients(
    point: OperatingPoint, drawn: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.str_]]
) -> None:
    """Every interval contains its figure; copies of a patient's films narrow nothing when patients are drawn."""
    logits, labels, patients = drawn
    metrics = measure(logits, labels, patients, point, replicates=200)
    for name, figure in (
        ("auc", metrics.auc),
        ("sensitivity", metrics.sensitivity),
        ("specificity", metrics.specificity),
    ):
        low, high = metrics.intervals[name]
        assert figure is not None
        assert low <= figure <= high
    fourfold = measure(np.tile(logits, 4), np.tile(labels, 4), np.tile(patients, 4), point, replicates=200)
    low, high = metrics.intervals["sensitivity"]
    low_4, high_4 = fourfold.intervals["sensitivity"]
    assert high_4 - low_4 == pytest.approx(high - low, rel=0.3)


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


def test_one_class_gives_null_and_no_invented_figure(point: OperatingPoint) -> None:
    """Without negatives there is no AUC and no specificity."""
    metrics = measure(np.ones(4, np.float32), np.ones(4, np.int64), np.array(list("abcd")), point, replicates=10)
    assert (metrics.auc, metrics.specificity, metrics.balanced_accuracy) == (None, None, None)
    assert metrics.sensitivity == 1
    assert auc(np.zeros(2, np.float32), np.zeros(2, np.int64)) is None


def test_calibration_error_is_the_distance_between_shown_and_seen() -> None:
    """Shown 0.9 and seen half the time is an error of 0.4; shown 0.5 there is none."""
    labels = np.array([0, 1] * 50)
    assert expected_calibration_error(np.full(100, 0.9), labels) == pytest.approx(0.4)
    assert expected_calibration_error(np.full(100, 0.5), labels) == pytest.approx(0.0)
