"""Computing in bf16 and deciding as in fp32: on real films with the model that ships, and with networks that stray."""

from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dicom_io.phantom import self_test_pixels
from worker.errors import ConfigurationError
from worker.inference import Engine, load_engine
from worker.model.artifact import default_directory
from worker.model.preprocessing import prepare
from worker.precision import MARGIN, are_near, are_too_far_apart, choose_precision
from worker.self_test import require_self_test

CPU = torch.device("cpu")


def engine_of(precision: str, told: list[str] | None = None) -> Engine:
    """The shipped model on the CPU."""
    tell = (lambda event, **_: told.append(event)) if told is not None else (lambda *_, **__: None)
    return load_engine(default_directory(), device="cpu", precision=precision, tell=tell)


def bf16_alone(engine: Engine, films: np.ndarray) -> np.ndarray:
    """What bf16 says before the films near the threshold are scored again."""
    return engine._fast.launch(films).wait()[0]


@pytest.fixture(scope="module")
def fp32() -> Engine:
    """As the threshold was certified."""
    return engine_of("fp32")


@pytest.fixture(scope="module")
def bf16() -> Engine:
    """As it is served where the processor has bf16."""
    return engine_of("bf16")


def test_the_margin_holds_on_real_films(shared_data: Path, fp32: Engine, bf16: Engine) -> None:
    """No bf16 logit strays by more than a third of the margin, and every flag is the same; deploy/capacity.md: all."""
    folder = shared_data / "kermany_224" / "train"
    paths = [path for kind in ("NORMAL", "PNEUMONIA") for path in sorted((folder / kind).iterdir())[::400]]
    films = np.concatenate([prepare(path) for path in paths])
    exact, (stray, maps) = fp32.score(films).logits, bf16._fast.launch(films).wait()
    assert 0 < np.abs(stray - exact).max() <= MARGIN / 3
    decided, _ = bf16.decide(films, stray.copy(), maps)
    point = fp32.card.operating_point
    flags = [[point.flags(float(logit)) for logit in logits] for logits in (exact, decided)]
    assert flags[0] == flags[1]
    assert any(flags[0])


def test_a_film_near_the_threshold_has_the_logit_of_fp32(fp32: Engine, bf16: Engine) -> None:
    """The threshold is laid upon a film: in bf16 alone it would lie elsewhere, and its neighbour keeps bf16's logit."""
    films = np.stack([self_test_pixels(), self_test_pixels()[::-1]])
    exact = fp32.score(films)
    moved = engine_with_threshold(bf16, float(exact.logits[0]))
    scores = moved.score(films)
    assert abs(float(bf16_alone(moved, films)[0] - exact.logits[0])) > 1e-3
    np.testing.assert_allclose(scores.logits[0], exact.logits[0], atol=1e-4)
    np.testing.assert_allclose(scores.activation_maps[0], exact.activation_maps[0], atol=1e-2)
    assert scores.logits[1] == bf16_alone(moved, films)[1]


def test_a_model_that_strays_is_served_in_fp32(fp32: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where bf16 and fp32 lie farther apart than half of the margin, that batch and all from then on are fp32's."""
    told: list[str] = []
    engine = engine_of("bf16", told)
    film = self_test_pixels()[None]
    engine = engine_with_threshold(engine, float(fp32.score(film).logits[0]))
    right = engine._fast.launch

    def stray(pixels: np.ndarray) -> Any:
        launched = right(pixels)
        with torch.inference_mode():
            launched.parts[0].logits.add_(MARGIN * 0.75)
        return launched

    monkeypatch.setattr(engine._fast, "launch", stray)
    ahead = engine.start(film)  # on its way in bf16 when that is given up
    np.testing.assert_allclose(engine.score(film).logits, fp32.score(film).logits, atol=1e-4)
    assert (engine.precision, told) == ("fp32", ["bf16-given-up"])
    np.testing.assert_allclose(ahead.result().logits, fp32.score(film).logits, atol=1e-4)
    assert engine.score(film).logits == engine.score(film).logits
    assert told == ["bf16-given-up"]


def test_the_self_test_passes_in_either_precision(fp32: Engine, bf16: Engine) -> None:
    """Within the card's tolerance, and in bf16 by what bf16 itself says."""
    require_self_test(fp32)
    require_self_test(bf16)
    test = bf16.card.self_test
    assert float(bf16.score(self_test_pixels()[None]).logits[0]) != float(
        fp32.score(self_test_pixels()[None]).logits[0]
    )
    assert abs(float(bf16_alone(bf16, self_test_pixels()[None])[0]) - test.logit) <= test.tolerance


def test_no_number_decides_nothing() -> None:
    """A bf16 logit that is no number is scored again, and one that fp32 has a number for ends bf16."""
    logits = np.array([np.nan, 0.0, MARGIN, 2 * MARGIN], np.float32)
    np.testing.assert_array_equal(are_near(logits, 0.0), [True, True, True, False])
    assert are_too_far_apart(np.array([np.nan], np.float32), np.array([1.0], np.float32))
    assert not are_too_far_apart(np.array([np.nan], np.float32), np.array([np.nan], np.float32))


def test_auto_is_bf16_only_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere it would be computed with fp32's instructions; a setting that names one is followed."""
    for capabilities, expected in (({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({}, "fp32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=capabilities: has, raising=False)
        assert choose_precision("auto", CPU) == expected
        assert (choose_precision("fp32", CPU), choose_precision("bf16", CPU)) == ("fp32", "bf16")
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert choose_precision("auto", CPU) == "fp32"


def engine_with_threshold(engine: Engine, logit: float) -> Engine:
    """The same engine with another threshold; it shares the networks."""
    other = copy(engine)
    point = engine.card.operating_point.model_copy(update={"threshold_logit": logit})
    other.card = engine.card.model_copy(update={"operating_point": point})
    return other


def test_a_precision_that_is_none_is_named() -> None:
    """`screen --precision int8` ends in one line."""
    with pytest.raises(ConfigurationError, match="precision: 'int8' is none; use auto, fp32 or bf16"):
        choose_precision("int8", CPU)
