"""The promise of the threshold, by the numbers and by simulation."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from training.errors import CannotCertifyError
from training.thresholds import (
    allowed_misses,
    balanced_threshold,
    certify,
    conformal_risk_control,
    fit_temperature,
    lower_bound,
    patient_scores,
    positives_needed,
)


@pytest.mark.parametrize(("target", "misses"), [(0.95, 12), (0.98, 3), (0.99, 0)])
def test_389_positives_allow_so_many_misses(target: float, misses: int) -> None:
    """The counts of the binomial test at 95 % confidence, worked out elsewhere."""
    assert allowed_misses(389, target, 0.95) == misses


def test_the_bound_reaches_the_target_with_the_last_allowed_miss_and_not_with_one_more() -> None:
    """The order statistic and the Clopper-Pearson bound are two sides of one test."""
    for positives in (149, 250, 389, 1000):
        misses = allowed_misses(positives, 0.98, 0.95)
        assert lower_bound(positives, misses, 0.95) >= 0.98 > lower_bound(positives, misses + 1, 0.95)


def test_too_few_patients_are_refused_with_the_number_that_is_needed() -> None:
    """Eight positives certify nothing, and the message says how many would."""
    assert positives_needed(0.98, 0.95) == 149
    with pytest.raises(CannotCertifyError, match="at least 149 are needed"):
        certify(np.zeros(8), target=0.98, confidence=0.95)
    assert certify(np.zeros(149), target=0.98, confidence=0.95).allowed_misses == 0


def test_the_promise_holds_over_2000_calibration_draws() -> None:
    """The true sensitivity falls short of the target in at most 5 % of the draws, and the threshold is not too shy."""
    dice, draws = np.random.default_rng(2), 2000
    thresholds = [certify(dice.normal(size=389), target=0.98, confidence=0.95).threshold_logit for _ in range(draws)]
    sensitivities = norm.sf(thresholds)
    broken = float(np.mean(sensitivities < 0.98))
    assert broken <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)
    assert broken >= 0.01  # a threshold that flags everybody keeps the promise too


def test_conformal_risk_control_keeps_the_mean_over_2000_draws() -> None:
    """On average over the draws the miss rate is at most 2 %, and near it."""
    dice = np.random.default_rng(3)
    misses = [norm.cdf(conformal_risk_control(dice.normal(size=389), target=0.98)) for _ in range(2000)]
    assert 0.015 <= float(np.mean(misses)) <= 0.02 + 3 * float(np.std(misses)) / math.sqrt(2000)


def test_conformal_risk_control_refuses_too_few() -> None:
    """48 scores cannot bound a 2 % risk; 49 can."""
    with pytest.raises(CannotCertifyError, match="at least 49"):
        conformal_risk_control(np.zeros(48), target=0.98)
    assert conformal_risk_control(np.arange(49.0), target=0.98) == 0


def test_a_patient_is_worth_the_lowest_positive_film() -> None:
    """Negative films of a patient do not count, and the worst positive one does."""
    logits = np.array([3.0, 1.0, -5.0, 2.0], np.float32)
    labels = np.array([1, 1, 0, 1])
    patients = np.array(["a", "a", "a", "b"])
    np.testing.assert_array_equal(patient_scores(logits, labels, patients), [1.0, 2.0])


def test_the_balanced_threshold_separates_what_can_be_separated() -> None:
    """Between two clean groups the threshold is the lowest positive."""
    assert balanced_threshold(np.array([-2, -1, 1, 2], np.float32), np.array([0, 0, 1, 1])) == 1


def test_the_temperature_undoes_a_known_overconfidence() -> None:
    """Logits that were made three times too large are found to be so."""
    dice = np.random.default_rng(4)
    honest = dice.normal(scale=2, size=20_000)
    labels = (dice.random(20_000) < 1 / (1 + np.exp(-honest))).astype(np.int64)
    assert fit_temperature((3 * honest).astype(np.float32), labels) == pytest.approx(3, rel=0.05)
