"""Other rules' thresholds beside the model's own."""

import numpy as np
import pytest

from tests.labelled import labelled
from training.alternatives import thresholds_of
from worker.model.artifact import OperatingPoint, default_directory, load_card


@pytest.fixture(scope="module")
def point() -> OperatingPoint:
    """An operating point at logit 0 that promises 0.9 at 0.9."""
    shipped = load_card(default_directory()).operating_point
    return shipped.model_copy(update={"threshold_logit": 0.0, "target_sensitivity": 0.9, "confidence": 0.9})


def test_each_rule_puts_its_own_threshold(point: OperatingPoint) -> None:
    """Of 100 positive patients at 1 to 100 the certificate may miss 5 and risk control 9; the best split is at 1."""
    films = labelled(np.zeros((150, 2, 2), np.uint8), [1] * 100 + [0] * 50)
    logits = np.concatenate((np.arange(1, 101), np.linspace(-20, 0.5, 50))).astype(np.float32)
    own, certified, controlled, balanced = thresholds_of(logits, films, point)
    assert [rule.threshold_logit for rule in (own, certified, controlled, balanced)] == [0, 6, 10, 1]
    assert (certified.sensitivity, certified.patient_sensitivity, certified.specificity) == (0.95, 0.95, 1)
    assert (controlled.sensitivity, balanced.sensitivity, balanced.specificity) == (0.91, 1, 1)
    assert own.specificity == pytest.approx(48 / 50)


def test_a_rule_that_the_films_cannot_serve_says_what_is_missing(point: OperatingPoint) -> None:
    """Two positive patients certify nothing; one class has no balance; the model's own threshold is always there."""
    films = labelled(np.zeros((2, 2, 2), np.uint8), [1, 1])
    own, certified, controlled, balanced = thresholds_of(np.ones(2, np.float32), films, point)
    assert (own.threshold_logit, own.sensitivity, own.specificity) == (0, 1, None)
    assert certified.why_not == "needs 22 positive patients"
    assert controlled.why_not == "needs 9 positive patients"
    assert balanced.why_not == "needs both classes"
