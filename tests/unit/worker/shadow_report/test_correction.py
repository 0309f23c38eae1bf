"""The weighting to all screened studies, by hand and by simulation."""

import numpy as np
import pytest

from worker.shadow_report.correction import Judged, corrected_rates


def sides(flagged: tuple[int, int, int], unflagged: tuple[int, int, int]) -> tuple[Judged, Judged]:
    """Studies, judged ones with a suspicion and without, of both sides."""
    names = ("studies", "suspected", "unsuspected")
    first, second = (Judged(**dict(zip(names, side, strict=True))) for side in (flagged, unflagged))
    return first, second


def test_each_judged_study_stands_for_others_of_its_side() -> None:
    """Of 100 flagged half are judged, of 900 others a tenth: 60 sick of the first, 20 of the second."""
    sensitivity, specificity = corrected_rates(*sides((100, 30, 20), (900, 2, 88)))
    assert sensitivity is not None
    assert specificity is not None
    assert sensitivity.value == pytest.approx(60 / (60 + 20))  # 30 of 32 as they stand
    assert specificity.value == pytest.approx(880 / (880 + 40))  # 88 of 108 as they stand
    assert sensitivity.low < sensitivity.value < sensitivity.high


def test_all_judged_corrects_nothing() -> None:
    """Where every study is judged the figures are the plain ones, and the interval is near Wilson's."""
    sensitivity, specificity = corrected_rates(*sides((200, 90, 110), (800, 10, 790)))
    assert sensitivity is not None
    assert specificity is not None
    assert (sensitivity.value, specificity.value) == pytest.approx((0.9, 790 / 900))
    assert (sensitivity.low, sensitivity.high) == pytest.approx((0.8256, 0.9448), abs=0.012)


@pytest.mark.parametrize(
    ("flagged", "unflagged"),
    [((5, 0, 0), (9, 1, 3)), ((5, 1, 1), (9, 0, 0)), ((0, 0, 0), (0, 0, 0))],
    ids=["no flagged one judged", "no other judged", "nothing"],
)
def test_a_side_without_verdicts_cannot_be_corrected(
    flagged: tuple[int, int, int], unflagged: tuple[int, int, int]
) -> None:
    """There is nobody to stand for the rest."""
    assert corrected_rates(*sides(flagged, unflagged)) == (None, None)


def test_nobody_suspected_gives_no_sensitivity() -> None:
    """Without a sick study there is a specificity only."""
    sensitivity, specificity = corrected_rates(*sides((10, 0, 4), (90, 0, 20)))
    assert sensitivity is None
    assert specificity is not None
    assert specificity.value == pytest.approx(0.9)


def test_none_missed_reaches_one_and_still_doubts() -> None:
    """A figure of 1 lies in its interval, which is wide where few of the others were judged."""
    sensitivity, _ = corrected_rates(*sides((100, 40, 10), (900, 0, 30)))
    assert sensitivity is not None
    assert (sensitivity.value, sensitivity.high) == (1.0, 1.0)
    assert sensitivity.low < 0.85


def test_the_same_studies_give_the_same_interval() -> None:
    """Two reports of the same studies are the same."""
    assert corrected_rates(*sides((100, 30, 20), (900, 2, 88))) == corrected_rates(*sides((100, 30, 20), (900, 2, 88)))


def test_intervals_hold_the_truth_that_the_plain_figures_miss() -> None:
    """Of sites that judge 80 % of the flagged and 20 % of the others, 92 % at least hold the true sensitivity.

    The plain sensitivity is too high in nearly every one of them: else this would prove nothing.
    """
    dice, truth, held, too_high = np.random.default_rng(3), 0.85, 0, 0
    for _ in range(300):
        sick, well = dice.binomial(2000, 0.15, 1)[0], 0
        well = 2000 - sick
        tp, fp = dice.binomial(sick, truth), dice.binomial(well, 0.1)
        seen = [
            dice.binomial(count, rate) for count, rate in ((tp, 0.8), (fp, 0.8), (sick - tp, 0.2), (well - fp, 0.2))
        ]
        sensitivity, _ = corrected_rates(*sides((tp + fp, *seen[:2]), (2000 - tp - fp, *seen[2:])))
        assert sensitivity is not None
        held += sensitivity.low <= truth <= sensitivity.high
        too_high += seen[0] / (seen[0] + seen[2]) > truth
    assert held >= 0.92 * 300
    assert too_high > 0.95 * 300
