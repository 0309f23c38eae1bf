"""Promotion: only a challenger that provably loses next to nothing, and is better in something."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from dicom_io.phantom import draw
from tests.labelled import labelled
from training import cli, outputs
from training.comparing import Contender, better_in, compare, difference_at_least, mcnemar, paired_delong
from training.errors import DataError, OutputError
from training.evaluation import auc
from training.films import Films
from training.judging import judge_promotion
from worker.model.artifact import ModelCard, default_directory, load_card
from worker.model.promotion import Promotion

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def card() -> ModelCard:
    """The shipped card with its threshold at 0."""
    shipped = load_card(default_directory())
    return shipped.model_copy(
        update={"operating_point": shipped.operating_point.model_copy(update={"threshold_logit": 0.0})}
    )


def _cases(sick: int, well: int) -> Films:
    return labelled(np.zeros((sick + well, 2, 2), np.uint8), [1] * sick + [0] * well)


def _compare(card: ModelCard, before: NDArray[np.float32], after: NDArray[np.float32], films: Films) -> Promotion:
    newer = card.model_copy(update={"version": "9.9.9"})
    return compare(Contender(card, before), Contender(newer, after), films, judged_at=NOW)


def _logits(films: Films, *, false_alarms: int) -> NDArray[np.float32]:
    """Every sick film is flagged, and so many of the others."""
    logits = np.where(films.labels == 1, 2.0, -2.0).astype(np.float32)
    logits[np.flatnonzero(films.labels == 0)[:false_alarms]] = 1.0
    return logits


def test_fewer_false_alarms_and_no_patient_lost_promotes(card: ModelCard) -> None:
    """With 400 positive patients, none lost and 30 false alarms fewer, the challenger may take over."""
    films = _cases(400, 200)
    verdict = _compare(card, _logits(films, false_alarms=40), _logits(films, false_alarms=10), films)
    assert (verdict.sensitivity_lost, verdict.sensitivity_gained) == (0, 0)
    assert verdict.specificity_difference == pytest.approx(0.15)
    assert verdict.promotable
    assert "specificity" in verdict.better
    assert verdict.champion != verdict.challenger


def test_a_small_set_proves_nothing(card: ModelCard) -> None:
    """The same with 100 positive patients is refused: that none was lost may be chance."""
    films = _cases(100, 200)
    verdict = _compare(card, _logits(films, false_alarms=40), _logits(films, false_alarms=10), films)
    assert not verdict.not_inferior
    assert not verdict.promotable


def test_the_same_model_is_not_better(card: ModelCard) -> None:
    """Not being worse is not enough."""
    films = _cases(400, 200)
    logits = _logits(films, false_alarms=10)
    verdict = _compare(card, logits, logits.copy(), films)
    assert verdict.not_inferior
    assert verdict.better == ()
    assert not verdict.promotable


def test_a_lost_patient_counts_although_another_film_was_found(card: ModelCard) -> None:
    """A patient with one missed positive film is a lost patient."""
    films = _cases(400, 200)
    films.patients[1] = films.patients[0]
    after = _logits(films, false_alarms=0)
    after[1] = -3.0
    verdict = _compare(card, _logits(films, false_alarms=40), after, films)
    assert (verdict.positive_patients, verdict.sensitivity_lost) == (399, 1)
    assert not verdict.promotable


def test_the_bound_needs_368_patients_when_none_is_lost() -> None:
    """What the docstring says, and a gain moves the bound up."""
    assert difference_at_least(0, 0, 368) > -0.01 >= difference_at_least(0, 0, 367)
    assert difference_at_least(0, 20, 400) > 0
    assert difference_at_least(5, 0, 5) == -1


def test_the_bound_holds_over_2000_draws() -> None:
    """The true difference lies below the bound in at most 5 % of the draws."""
    dice = np.random.default_rng(8)
    broken = 0
    for _ in range(2000):
        lost, gained, _ = dice.multinomial(400, [0.02, 0.04, 0.94])
        broken += difference_at_least(int(lost), int(gained), 400) > 0.02
    assert broken / 2000 <= 0.05


def test_mcnemar_is_exact() -> None:
    """Nought against ten is 2 / 1024; no discordant pair says nothing."""
    assert mcnemar(0, 10) == pytest.approx(2 / 1024)
    assert mcnemar(0, 0) == 1


def test_paired_delong_is_the_difference_of_the_areas_and_covers_it() -> None:
    """The estimate is exact, and over 300 draws about 95 % of the intervals contain the true difference of nought."""
    dice, labels, covered = np.random.default_rng(9), np.repeat([0, 1], 60), 0
    for _ in range(300):
        common = dice.normal(size=120) + labels
        first = (common + dice.normal(size=120)).astype(np.float32)
        second = (common + dice.normal(size=120)).astype(np.float32)
        difference, spread = paired_delong(first, second, labels)
        covered += abs(difference) <= spread
    one, other = auc(first, labels), auc(second, labels)
    assert one is not None
    assert other is not None
    assert difference == pytest.approx(other - one)
    assert 0.91 <= covered / 300 <= 0.99


@pytest.mark.parametrize("well", [0, 1])
def test_one_class_cannot_compare(card: ModelCard, well: int) -> None:
    """Without films of both classes there is no verdict; of a single film the area has no interval."""
    films = _cases(5, well)
    logits = np.zeros(5 + well, np.float32)
    with pytest.raises(DataError, match="both classes"):
        _compare(card, logits, logits, films)


def test_a_class_of_one_film_cannot_compare(card: ModelCard) -> None:
    """One film says nothing of how far the difference of two areas may be off."""
    films = _cases(1, 5)
    with pytest.raises(DataError, match="at least two different films of both classes"):
        _compare(card, np.zeros(6, np.float32), np.zeros(6, np.float32), films)


def test_a_model_that_answers_with_no_number_cannot_be_judged(card: ModelCard) -> None:
    """The message names the model and the film."""
    films = _cases(2, 2)
    broken = np.array([0, 0, np.nan, 0], np.float32)
    with pytest.raises(DataError, match=r"9\.9\.9 gives no finite logit for 1 films, first: film2"):
        _compare(card, np.zeros(4, np.float32), broken, films)


def test_three_chances_do_not_make_chance_a_gain(card: ModelCard) -> None:
    """Eight false alarms fewer and one more are p 0.04: enough for one question, not for the best of three."""
    films = _cases(400, 200)
    before, after = _logits(films, false_alarms=8), _logits(films, false_alarms=0)
    after[-1] = 1.0
    verdict = _compare(card, before, after, films)
    assert 0.02 < verdict.specificity_p < 0.05
    assert verdict.better == ()


@pytest.mark.parametrize(
    ("p_values", "better"),
    [
        ((0.01, 0.02, 0.04), ("sensitivity", "specificity")),
        ((0.04, 0.02, 0.01), ("sensitivity", "specificity")),
        ((0.01, 0.03, 0.04), ("sensitivity",)),
        ((0.02, 0.02, 0.02), ()),
    ],
)
def test_figures_are_better_after_holm(p_values: tuple[float, float, float], better: tuple[str, ...]) -> None:
    """The smallest p must be below a third of 5 %, the next below a half; what is lost is never better."""
    gains = {"sensitivity": 0.1, "specificity": 0.1, "auc": -0.1}
    assert better_in(gains, dict(zip(gains, p_values, strict=True))) == better


def _locked(folder: Path, count: int) -> Path:
    """Class folders of drawn films, well and sick in turn."""
    for seed in range(count):
        part = folder / ("PNEUMONIA" if seed % 2 else "NORMAL")
        part.mkdir(parents=True, exist_ok=True)
        film = (draw(seed, opacity=seed % 2 == 1, rows=48, columns=48) >> 4).astype(np.uint8)
        Image.fromarray(film).save(part / f"film{seed}.png")
    return folder


def _judge(locked: Path, output: Path, challenger: Path | None = None) -> Promotion:
    shipped = default_directory()
    return judge_promotion(shipped, challenger or shipped, locked, output, torch.device("cpu"), judged_at=NOW)


def test_cases_that_cannot_judge_are_not_opened(tmp_path: Path) -> None:
    """One sick film: refused before a line in the ledger says that the cases were looked at."""
    with pytest.raises(DataError, match="at least two different films"):
        _judge(_locked(tmp_path / "locked", 3), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_identical_locked_films_count_once(tmp_path: Path) -> None:
    """A copy under another name adds no case; with the other label it is refused."""
    locked = _locked(tmp_path / "locked", 4)
    shutil.copy(locked / "NORMAL/film0.png", locked / "NORMAL/copy.png")
    assert _judge(locked, tmp_path / "out").cases == 4
    shutil.copy(locked / "NORMAL/film0.png", locked / "PNEUMONIA/copy.png")
    with pytest.raises(DataError, match=r"the picture of PNEUMONIA/copy\.png is there with both labels"):
        _judge(locked, tmp_path / "out")


def test_a_judgement_that_cannot_be_finished_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full at the last moment: promotion.json stays whole."""

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "promotion.json").write_text("the last one")
    monkeypatch.setattr(outputs.os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        _judge(_locked(tmp_path / "locked", 4), tmp_path)
    assert (tmp_path / "promotion.json").read_text() == "the last one"


def test_the_command_writes_the_verdict_and_every_opening(tmp_path: Path) -> None:
    """promotion.json names both models and the cases; the ledger grows with each look at them."""
    _locked(tmp_path / "locked", 4)
    options = ["compare", "--challenger", str(default_directory()), "--data", str(tmp_path / "locked")]
    for _ in range(2):
        result = CliRunner().invoke(cli.app, [*options, "--output", str(tmp_path / "out")])
        assert result.exit_code == 0, result.output
    assert "not promotable: may be inferior, better in nothing" in result.stdout
    verdict = Promotion.model_validate_json((tmp_path / "out/promotion.json").read_text())
    ledger = [json.loads(line) for line in (tmp_path / "out/ledger.jsonl").read_text().splitlines()]
    assert [line["cases_sha256"] for line in ledger] == [verdict.cases_sha256] * 2
    assert ledger[0]["models"] == [verdict.champion, verdict.challenger]
