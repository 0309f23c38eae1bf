"""The gate's distance and what it turns away are measured on patients who had no say in them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.labelled import labelled
from training.films import Films
from training.scope_fitting import ACCEPTED_LOSS, fit_gate

FILMS = 600


def _pictures(count: int, seed: int, rows: int = 28) -> NDArray[np.uint8]:
    """Smooth random pictures, uint8 (count, rows, rows)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, rows // 4, rows // 4), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


@pytest.fixture(scope="module")
def films() -> Films:
    """Films of two sources, the second one small, of a patient each."""
    sources = ["large"] * 500 + ["small"] * 100
    return labelled(_pictures(FILMS, 0), [0] * FILMS, sources=sources)


def test_the_loss_on_other_patients_is_about_the_accepted_one(films: Films) -> None:
    """What is counted across folds is small in every source, and not simply zero by construction."""
    measured = {each.cases.split(":")[0]: each for each in fit_gate(films)[1].measurements}
    assert (measured["large"].images, measured["small"].images) == (500, 100)
    assert measured["large"].turned_away <= 4 * ACCEPTED_LOSS * 500
    assert measured["small"].turned_away <= 6


def test_other_pictures_lie_beyond(films: Films) -> None:
    """Noise of a finer grain than any film of the run is turned away."""
    statistics, gate = fit_gate(films)
    noise = np.random.default_rng(5).integers(0, 256, (20, 56, 56), dtype=np.uint8)
    strange = np.where(np.arange(56) % 8 < 4, noise // 8, 255 - noise // 8).astype(np.uint8)
    assert not any(gate.lets_in(float(distance)) for distance in statistics.distances(strange))


def test_films_of_one_patient_do_not_vouch_for_each_other(films: Films) -> None:
    """Copies of one odd picture under many patients widen the gate; under a single one they do not."""
    odd = np.tile(_pictures(1, 9)[0] // 16 + np.where(np.arange(28) < 14, 0, 200).astype(np.uint8), (20, 1, 1))
    pixels = np.concatenate([films.pixels, odd])
    sources = [*films.sources.tolist(), *["large"] * 20]
    apart = labelled(pixels, [0] * len(pixels), sources=sources)
    patients = [f"p{row}" for row in range(FILMS)] + ["one"] * 20
    together = labelled(pixels, [0] * len(pixels), sources=sources, patients=patients)
    assert fit_gate(together)[1].largest_distance > 1.2 * fit_gate(apart)[1].largest_distance


def test_a_handful_of_films_of_one_patient_still_makes_a_gate() -> None:
    """With a single fold nothing can be measured on others, and nothing is claimed to be turned away."""
    few = labelled(_pictures(6, 3), [0] * 6, patients=["one"] * 6)
    gate = fit_gate(few)[1]
    assert gate.largest_distance > 0
    assert [each.turned_away for each in gate.measurements] == [0]
