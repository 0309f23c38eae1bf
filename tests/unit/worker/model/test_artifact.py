"""The model artifact: what a card promises, and that nothing damaged is ever loaded."""

import hashlib
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from dicom_io.phantom import self_test_pixels
from worker.errors import ModelError
from worker.model.artifact import ModelCard, OperatingPoint, default_directory, load_card, save_card

POINT = {
    "threshold_logit": -0.8,
    "temperature": 2.0,
    "target_sensitivity": 0.98,
    "confidence": 0.95,
    "method": "clopper-pearson-order-statistic",
    "unit": "patient",
    "positives": 389,
    "allowed_misses": 3,
    "lower_bound": 0.9802,
    "precision_margin": 0.001,
    "chosen_on": "held-out patients",
}


@pytest.fixture(scope="module")
def shipped() -> ModelCard:
    """The card of the model that ships."""
    return load_card(default_directory())


@pytest.fixture
def copied(tmp_path: Path, shipped: ModelCard) -> Path:
    """A model directory with a card and stand-in weights."""
    weights = b"stand-in weights"
    (tmp_path / "model.safetensors").write_bytes(weights)
    card = shipped.model_copy(update={"weights_sha256": hashlib.sha256(weights).hexdigest()})
    save_card(card, tmp_path)
    return tmp_path


def test_a_card_survives_the_round_trip(copied: Path) -> None:
    """What is written is what is read, byte for byte, so the identity is the same on every host."""
    card = load_card(copied)
    save_card(card, copied)
    assert load_card(copied) == card
    assert load_card(copied).sha256 == hashlib.sha256((copied / "card.json").read_bytes()).hexdigest()


def test_the_identity_changes_with_the_threshold(shipped: ModelCard) -> None:
    """A model with another threshold is another model."""
    lower = shipped.operating_point.model_copy(update={"threshold_logit": shipped.operating_point.threshold_logit - 1})
    assert shipped.model_copy(update={"operating_point": lower}).sha256 != shipped.sha256


def test_other_weights_are_refused(copied: Path) -> None:
    """One flipped byte in the weights is found before anything is scored."""
    (copied / "model.safetensors").write_bytes(b"stand-in weightz")
    with pytest.raises(ModelError, match="copy the whole model directory again"):
        load_card(copied)


def test_a_card_edited_by_hand_is_refused(copied: Path) -> None:
    """A card that is no longer canonical was touched after it was published."""
    text = (copied / "card.json").read_text()
    (copied / "card.json").write_text(text.rstrip("\n"))
    with pytest.raises(ModelError, match="changed after it was written"):
        load_card(copied)


def test_a_card_with_an_unknown_field_is_refused(copied: Path) -> None:
    """A card of a newer schema is not half understood."""
    fields = json.loads((copied / "card.json").read_text())
    (copied / "card.json").write_text(json.dumps({**fields, "surprise": 1}))
    with pytest.raises(ModelError, match="surprise"):
        load_card(copied)


@pytest.mark.parametrize("name", ["card.json", "model.safetensors"])
def test_an_incomplete_directory_says_what_belongs_there(copied: Path, name: str) -> None:
    """Without one of the two files there is no model, and the message says so."""
    (copied / name).unlink()
    with pytest.raises(ModelError, match=r"holds card\.json and model\.safetensors"):
        load_card(copied)


@pytest.mark.parametrize(("logit", "flagged"), [(-0.8, True), (-0.801, False), (3.0, True), (float("nan"), True)])
def test_the_threshold_itself_is_flagged_and_so_is_a_broken_logit(logit: float, *, flagged: bool) -> None:
    """At the threshold, and where the network gives no number, the film is flagged rather than passed over."""
    assert OperatingPoint(**POINT).flags(logit) is flagged


@pytest.mark.parametrize("logit", [-1e4, -3.0, 0.0, 3.0, 1e4])
def test_the_probability_is_a_tempered_sigmoid(logit: float) -> None:
    """Extreme logits neither overflow nor leave [0, 1], and the two tails mirror each other."""
    point = OperatingPoint(**POINT)
    assert 0 <= point.probability(logit) <= 1
    assert point.probability(logit) + point.probability(-logit) == pytest.approx(1)
    assert point.probability(2.0) == pytest.approx(0.7310586)


def test_a_flag_and_its_shown_probability_agree() -> None:
    """The shown probability reaches the shown threshold exactly where the film is flagged."""
    point = OperatingPoint(**POINT)
    assert point.probability(point.threshold_logit) == point.threshold


def test_a_provisional_card_must_say_so(shipped: ModelCard) -> None:
    """No provisional model can be described as if it were more."""
    fields = shipped.model_dump() | {"status": "provisional", "description": "A fine model."}
    with pytest.raises(ValidationError, match="provisional"):
        ModelCard.model_validate(fields)


def test_the_shipped_card_names_its_makers_and_limits(shipped: ModelCard) -> None:
    """Attribution, licence and limits travel with the weights."""
    assert {"kermany_224"} <= {source.name for source in shipped.data}
    assert all("CC BY 4.0" in source.licence for source in shipped.data if source.name == "kermany_224")
    assert shipped.limits
    assert "not a medical device" in shipped.intended_use.lower()


def test_the_shipped_threshold_is_certified_by_its_own_numbers(shipped: ModelCard) -> None:
    """The lower bound of the sensitivity in the card reaches the target."""
    point = shipped.operating_point
    assert point.target_sensitivity >= 0.98
    assert point.lower_bound >= point.target_sensitivity


def test_the_shipped_self_test_knows_the_phantom_that_is_drawn_today(shipped: ModelCard) -> None:
    """A changed drawing would make every start of the model fail; it must come with a new card."""
    assert shipped.self_test.pixels_sha256 == hashlib.sha256(self_test_pixels().tobytes()).hexdigest()


def test_the_shipped_weights_are_small_enough_for_a_clone() -> None:
    """The weights stay under 50 MB."""
    assert (default_directory() / "model.safetensors").stat().st_size <= 50_000_000
