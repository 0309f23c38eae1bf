"""The figures of the report, against scikit-learn and by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score, roc_curve

from training.errors import DataError
from training.evaluation import auc, measure, specificity_at
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


def test_one_class_gives_null_and_no_invented_figure(point: OperatingPoint) -> None:
    """Without negatives there is no AUC and no specificity."""
    metrics = measure(np.ones(4, np.float32), np.ones(4, np.int64), np.array(list("abcd")), point, replicates=10)
    assert (metrics.auc, metrics.specificity, metrics.balanced_accuracy) == (None, None, None)
    assert metrics.sensitivity == 1
    assert auc(np.zeros(2, np.float32), np.zeros(2, np.int64)) is None


def test_a_missed_film_is_a_missed_patient(point: OperatingPoint) -> None:
    """Of two patients with two positive films each, one has a missed one: half of the patients, 3 of 4 films."""
    logits, patients = np.array([1, 1, 1, -1, -1], np.float32), np.array(["a", "a", "b", "b", "c"])
    metrics = measure(logits, np.array([1, 1, 1, 1, 0]), patients, point, replicates=10)
    assert (metrics.positive_patients, metrics.patient_sensitivity, metrics.sensitivity) == (2, 0.5, 0.75)


@pytest.mark.parametrize(
    ("logits", "labels", "collapsed"),
    [([-1, -1, -2], [1, 1, 0], True), ([1, -1, -2], [1, 1, 0], False), ([-1, -1, -2], [0, 0, 0], False)],
    ids=["nothing found", "one found", "nothing to find"],
)
def test_finding_nothing_is_class_collapse(
    point: OperatingPoint, logits: list[float], labels: list[int], *, collapsed: bool
) -> None:
    """Zero true positives count as collapse only where there are positives."""
    patients = np.array(["a", "b", "c"])
    metrics = measure(np.array(logits, np.float32), np.array(labels), patients, point, replicates=10)
    assert metrics.class_collapse is collapsed


def test_where_nothing_is_missed_the_shown_interval_still_has_a_width(point: OperatingPoint) -> None:
    """The bootstrap of 100 % knows no doubt; the interval that is shown does."""
    logits, patients = np.array([1, 1, 1, -1, 1], np.float32), np.array(list("abcde"))
    metrics = measure(logits, np.array([1, 1, 1, 0, 0]), patients, point, replicates=50)
    assert metrics.intervals["sensitivity"] == (1, 1)
    assert metrics.interval_of("sensitivity") == metrics.intervals["sensitivity_exact"]
    assert metrics.intervals["sensitivity_exact"][0] < 0.4
    assert metrics.interval_of("specificity") == metrics.intervals["specificity"]
    assert metrics.predictive_values[0].npv_range[0] < 1  # type: ignore[operator]


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_an_answer_that_is_no_number_stops_it(point: OperatingPoint, wrong: float) -> None:
    """It says how many, which is the first, and what to do."""
    logits = np.array([0.5, wrong, wrong], np.float32)
    with pytest.raises(DataError, match=r"on 2 of 3 films, the first is film 2; .* earlier checkpoint"):
        measure(logits, np.array([1, 0, 1]), np.array(list("abc")), point)


def test_equal_logits_are_worth_nothing(point: OperatingPoint) -> None:
    """The same answer everywhere is an area of a half, and every positive film found costs every negative one."""
    labels = np.array([0, 1] * 30)
    metrics = measure(np.ones(60, np.float32), labels, np.arange(60).astype(str), point, replicates=20)
    assert (metrics.auc, metrics.sensitivity, metrics.specificity) == (0.5, 1, 0)
    assert metrics.specificity_at_sensitivity == {"0.95": 0, "0.98": 0, "0.99": 0}


def test_a_single_film_is_measured(point: OperatingPoint) -> None:
    """What one film cannot give is null; the rest is there."""
    metrics = measure(np.ones(1, np.float32), np.ones(1, np.int64), np.array(["a"]), point, replicates=10)
    assert (metrics.n, metrics.auc, metrics.sensitivity, metrics.predictive_values) == (1, None, 1, ())
