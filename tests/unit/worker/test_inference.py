"""Scoring with the model that ships."""

from copy import copy

import numpy as np
import pytest

from dicom_io.phantom import self_test_pixels
from worker.errors import ConfigurationError, ModelError
from worker.inference import Engine, load_engine
from worker.model.artifact import default_directory
from worker.self_test import require_self_test


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The shipped model on the CPU."""
    return load_engine(default_directory(), device="cpu")


def test_the_shipped_model_passes_its_self_test(engine: Engine) -> None:
    """The logit of the drawn phantom is the one in the card."""
    logit = float(engine.score(self_test_pixels()[None]).logits[0])
    assert logit == pytest.approx(engine.card.self_test.logit, abs=engine.card.self_test.tolerance)


def test_a_film_scores_the_same_in_any_company(engine: Engine) -> None:
    """A film's logit does not depend on the batch it is in."""
    film = self_test_pixels()
    batch = np.stack([film, 255 - film, film])
    alone, together = engine.score(film[None]).logits[0], engine.score(batch).logits
    np.testing.assert_allclose(together[[0, 2]], [alone, alone], atol=1e-3)
    assert abs(together[1] - alone) > 0.01


def test_scores_have_the_promised_shapes(engine: Engine) -> None:
    """Logits are float32 and maps 7x7 float16, also for no film at all and for read-only pixels."""
    film = self_test_pixels()[None]
    film.flags.writeable = False
    scores = engine.score(film)
    assert (scores.logits.dtype, scores.activation_maps.dtype) == (np.float32, np.float16)
    assert scores.activation_maps.shape == (1, 7, 7)
    assert engine.score(film[:0]).logits.shape == (0,)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((1, 224, 224), np.float32), np.zeros((224, 224), np.uint8), np.zeros((1, 256, 256), np.uint8)],
)
def test_anything_but_prepared_films_is_refused(engine: Engine, pixels: np.ndarray) -> None:
    """Another dtype, number of axes or size is an error that says what the model takes."""
    with pytest.raises(ModelError, match=r"takes uint8 films of shape \(N, 224, 224\)"):
        engine.score(pixels)


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_an_unknown_device_is_a_configuration_error(device: str) -> None:
    """The operator is told which setting to change."""
    with pytest.raises(ConfigurationError, match="device"):
        load_engine(default_directory(), device=device)


def test_the_shipped_model_is_let_in(engine: Engine) -> None:
    """Its answer is the one in its card."""
    require_self_test(engine)


@pytest.mark.parametrize(
    ("self_test", "why"),
    [
        ({"logit": 3.0}, "answers its self test with"),
        ({"logit": float("nan")}, "answers its self test with"),
        ({"pixels_sha256": "0" * 64}, "another version of cxr-triage"),
    ],
)
def test_a_model_that_gives_another_answer_is_refused(engine: Engine, self_test: dict[str, object], why: str) -> None:
    """Other weights than the card was written for, or a host that computes wrongly, are found at loading."""
    card = engine.card.model_copy(update={"self_test": engine.card.self_test.model_copy(update=self_test)})
    other = copy(engine)
    other.card = card
    with pytest.raises(ModelError, match=why):
        require_self_test(other)
