"""What a flag is worth at other prevalences."""

import pytest

from training.predictive_values import PREVALENCES, predictive_values


def test_counted_on_ten_thousand_people() -> None:
    """Of 10,000, 100 are sick: 90 found and 10 missed; 9,900 are well: 990 flagged and 8,910 not."""
    at = predictive_values(0.9, 0.9, (0.8, 1.0), (0.8, 1.0))[0]
    assert at.prevalence == 0.01
    assert at.ppv == pytest.approx(90 / 1080)
    assert at.npv == pytest.approx(8910 / 8920)
    assert (at.flagged_per_1000, at.missed_per_1000) == (pytest.approx(108), pytest.approx(1))
    assert at.missed_per_1000_range == (pytest.approx(0), pytest.approx(2))
    assert at.ppv_range == (pytest.approx(80 / 2060), 1)
    assert at.npv_range == (pytest.approx(7920 / 7940), 1)


def test_a_flag_is_worth_more_where_more_are_sick() -> None:
    """PPV rises and NPV falls with the prevalence."""
    rows = predictive_values(0.95, 0.6, (0.9, 0.98), (0.5, 0.7))
    assert [row.prevalence for row in rows] == list(PREVALENCES)
    assert [row.ppv for row in rows] == sorted(row.ppv for row in rows if row.ppv)
    assert [row.npv for row in rows] == sorted((row.npv for row in rows if row.npv), reverse=True)


def test_what_was_never_said_has_no_worth() -> None:
    """A model that flags nothing has no PPV, one that flags everything no NPV."""
    assert predictive_values(0, 1, (0, 0.1), (0.9, 1))[0].ppv is None
    assert predictive_values(1, 0, (0.9, 1), (0, 0.1))[0].npv is None
