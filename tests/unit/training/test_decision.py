"""Net benefit."""

import numpy as np
import pytest

from training.decision import decision_curve


def test_a_perfect_model_gains_every_sick_film_at_any_price() -> None:
    """Its net benefit is the prevalence everywhere; flagging everyone pays until the odds reach the prevalence's."""
    labels = np.array([1] * 3 + [0] * 7)
    curve = decision_curve(labels.astype(float), labels)
    assert curve.model.tolist() == [0.3] * 99
    assert curve.everyone[29] == pytest.approx(0)  # threshold 0.30


def test_a_false_alarm_costs_the_odds_of_the_threshold() -> None:
    """At 0.2 a find is worth four false alarms: one find and two alarms of ten are 0.1 - 0.2 / 4."""
    probabilities, labels = np.array([0.9, 0.9, 0.9] + [0.1] * 7), np.array([1] + [0] * 9)
    assert decision_curve(probabilities, labels).model[19] == pytest.approx(0.05)
