"""A judgement allows a change of the model only if its own figures do."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.labelled import labelled
from tests.models import judgement, write_judgement
from training.comparing import Contender, compare
from worker.admission import check, check_promise, find_promotion, read_promotion
from worker.errors import PromotionError
from worker.model.artifact import ModelCard, default_directory, load_card

CHAMPION, CHALLENGER, OTHER = "a" * 64, "b" * 64, "f" * 64


def refusal(champion: str = CHAMPION, challenger: str = CHALLENGER, **figures: Any) -> str:
    """What is said of a judgement of these two models, with other figures than favourable ones."""
    with pytest.raises(PromotionError) as refused:
        check(judgement(CHAMPION, CHALLENGER, **figures), challenger=challenger, champion=champion)
    return str(refused.value)


def test_a_favourable_judgement_of_these_two_models_is_admitted() -> None:
    """Not inferior in sensitivity, better in specificity."""
    check(judgement(CHAMPION, CHALLENGER), challenger=CHALLENGER, champion=CHAMPION)


def test_a_judgement_of_other_models_is_refused() -> None:
    """Against another champion, of another challenger, or of the very model that is in service."""
    assert "compare with the model in service" in refusal(champion=OTHER)
    assert "name the promotion.json that" in refusal(challenger=OTHER)
    assert "in service already" in refusal(champion=CHALLENGER)


@pytest.mark.parametrize(
    ("figures", "why"),
    [
        ({"better": (), "promotable": False}, "better in nothing"),
        (
            {"sensitivity_difference_at_least": -0.03, "not_inferior": False, "promotable": False},
            "fewer sick patients",
        ),
    ],
)
def test_a_judgement_that_says_no_is_refused(figures: dict[str, Any], why: str) -> None:
    """With what it lacks."""
    assert why in refusal(**figures)


@pytest.mark.parametrize(
    ("figures", "why"),
    [
        ({"sensitivity_difference_at_least": -0.03}, "not_inferior"),
        ({"sensitivity_difference_at_least": 0.005}, "so few patients"),
        ({"sensitivity_difference_at_least": 0.0}, "so few patients"),
        ({"positive_patients": 35}, "so few patients"),
        ({"auc_difference": -0.5}, "outside its interval"),
        ({"not_inferior": False, "promotable": False}, "not_inferior"),
        ({"specificity_p": 0.2}, "not better in specificity"),
        ({"specificity_difference": -0.02}, "not better in specificity"),
        ({"better": ("auc",)}, "not better in auc"),
        ({"better": ("sensitivity",), "sensitivity_lost": 2, "sensitivity_gained": 2}, "not better in sensitivity"),
        ({"better": ()}, "promotable"),
        ({"promotable": False}, "promotable"),
    ],
)
def test_words_that_the_figures_do_not_bear_out_are_refused(figures: dict[str, Any], why: str) -> None:
    """A file whose verdict was edited contradicts its figures."""
    said = refusal(**figures)
    assert "contradicts itself" in said
    assert why in said


@pytest.mark.parametrize("gained", [0, 30])
def test_what_compare_writes_does_not_contradict_itself(gained: int) -> None:
    """A real comparison is admitted where the challenger finds more, and refused for nothing but its verdict if not."""
    card = load_card(default_directory())
    challenger = card.model_copy(update={"version": "next"})
    cases = labelled(np.zeros((900, 2, 2), np.uint8), np.arange(900, dtype=np.int64) % 2)
    after = np.where(cases.labels == 1, 3.0, -4.0).astype(np.float32)
    before = after.copy()
    before[np.flatnonzero(cases.labels)[:gained]] = -4.0
    contenders = (Contender(card, before), Contender(challenger, after))
    promotion = compare(*contenders, cases, judged_at=datetime(2026, 11, 20, tzinfo=UTC))
    expected = nullcontext() if gained else pytest.raises(PromotionError, match="better in nothing")
    with expected:
        check(promotion, challenger=challenger.sha256, champion=card.sha256)


def test_a_judgement_lies_in_the_directory_or_beside_it(tmp_path: Path) -> None:
    """The one inside goes first."""
    directory = tmp_path / "model"
    directory.mkdir()
    assert find_promotion(directory) == tmp_path / "promotion.json"
    inside = write_judgement(directory / "promotion.json", judgement(CHAMPION, CHALLENGER))
    assert find_promotion(directory) == inside
    assert read_promotion(inside)[1] == judgement(CHAMPION, CHALLENGER)


def test_a_judgement_as_old_as_the_rollback_is_refused() -> None:
    """One from after it is admitted."""
    judged = judgement(CHAMPION, CHALLENGER).judged_at
    models = {"challenger": CHALLENGER, "champion": CHAMPION}
    for withdrawn_at in (judged, judged + timedelta(seconds=1)):
        with pytest.raises(PromotionError, match="not after that"):
            check(judgement(CHAMPION, CHALLENGER), **models, withdrawn_at=withdrawn_at)
    check(judgement(CHAMPION, CHALLENGER), **models, withdrawn_at=judged - timedelta(seconds=1))


def test_a_judgement_without_a_time_zone_is_refused(tmp_path: Path) -> None:
    """It could not be held against the time of a rollback."""
    path = write_judgement(tmp_path / "promotion.json", judgement(CHAMPION, CHALLENGER))
    path.write_text(path.read_text().replace("00:00:00Z", "00:00:00"))
    with pytest.raises(PromotionError, match="judged_at"):
        read_promotion(path)


@pytest.mark.parametrize(
    ("text", "why"), [(None, "nothing is promoted without"), ("{}", "is no judgement"), ("\0", "is no judgement")]
)
def test_a_judgement_that_cannot_be_read_is_refused(tmp_path: Path, text: str | None, why: str) -> None:
    """Absent or something else: one line says what to run."""
    path = tmp_path / "promotion.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(PromotionError, match=why):
        read_promotion(path)


def promising(sensitivity: float | None, confidence: float | None) -> ModelCard:
    """The shipped card with another promise, or none."""
    card = load_card(default_directory())
    update: dict[str, float | str | None] = {"target_sensitivity": sensitivity, "confidence": confidence}
    if sensitivity is None:
        update |= {"method": "half", "allowed_misses": None, "lower_bound": None}
    return card.model_copy(update={"operating_point": card.operating_point.model_copy(update=update)})


@pytest.mark.parametrize("in_service", [(0.98, 0.95), (0.97, 0.95), (0.98, 0.9), (None, None)])
def test_a_promise_of_at_least_what_is_in_service_is_admitted(in_service: tuple[float | None, float | None]) -> None:
    """The same, more of either, or any where the model in service promises nothing."""
    check_promise(promising(0.98, 0.95), promising(*in_service))


@pytest.mark.parametrize(
    ("offered", "why"),
    [
        ((0.5, 0.95), r"sensitivity 0\.5 \(in service: 0\.98\);"),
        ((0.98, 0.5), r"confidence 0\.5 \(in service: 0\.95\);"),
        ((0.99, 0.9), r"confidence 0\.9 "),
        ((0.5, 0.5), r"sensitivity 0\.5 .*, confidence 0\.5 .*cxr-train calibrate"),
        ((None, None), "by half and promises no sensitivity"),
    ],
)
def test_a_promise_of_less_is_refused(offered: tuple[float | None, float | None], why: str) -> None:
    """What is less stands beside what is in service; more of one does not make up for less of the other."""
    with pytest.raises(PromotionError, match=why):
        check_promise(promising(*offered), promising(0.98, 0.95))
