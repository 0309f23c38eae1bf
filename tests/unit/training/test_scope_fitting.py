"""The gate's distance and what it turns away are measured on patients who had no say in them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.labelled import labelled
from training.films import Films
from training.patients import fold_of
from training.scope_fitting import ACCEPTED_LOSS, FOLDS, fit_gate

FILMS = 900


def _pictures(count: int, seed: int) -> NDArray[np.uint8]:
    """Coarse random pictures with some grain, uint8 (count, 28, 28)."""
    dice = np.random.default_rng(seed)
    coarse = dice.integers(40, 216, (count, 7, 7)).repeat(4, axis=1).repeat(4, axis=2)
    return (coarse + dice.integers(-40, 40, (count, 28, 28))).astype(np.uint8)


@pytest.fixture(scope="module")
def films() -> Films:
    """Films of two sources of a patient each; those of the second one vary along other lines."""
    second = _pictures(300, 1).swapaxes(1, 2).copy()
    second[:, :, 14:] //= 3
    sources = ["children"] * 600 + ["adults"] * 300
    return labelled(np.concatenate([_pictures(600, 0), second]), [0] * FILMS, sources=sources)


def _with(films: Films, pictures: NDArray[np.uint8], source: str, patients: list[str] | None = None) -> Films:
    """The same films and a few more."""
    count = len(films) + len(pictures)
    return labelled(
        np.concatenate([films.pixels, pictures]),
        [0] * count,
        sources=[*films.sources.tolist(), *[source] * len(pictures)],
        patients=[f"p{row}" for row in range(len(films))] + (patients or [f"q{row}" for row in range(len(pictures))]),
    )


def _odd(count: int) -> NDArray[np.uint8]:
    """Pictures far from every film: fine stripes, uint8 (count, 28, 28)."""
    stripes = np.where(np.arange(28) % 4 < 2, 20, 230).astype(np.uint8)
    return np.tile(stripes, (count, 28, 1))


def test_the_loss_on_other_patients_is_about_the_accepted_one(films: Films) -> None:
    """What is counted across folds is small in every source."""
    measured = {each.cases.split(":")[0]: each for each in fit_gate(films)[1].measurements}
    assert (measured["children"].images, measured["adults"].images) == (600, 300)
    assert measured["children"].turned_away <= 4 * ACCEPTED_LOSS * 600
    assert measured["adults"].turned_away <= 4 * ACCEPTED_LOSS * 300


def test_films_that_others_do_not_vouch_for_are_counted(films: Films) -> None:
    """Eight odd films of eight patients in one fold are turned away by what the other folds set."""
    fold = fold_of("q0", FOLDS, 0)
    patients = [name for name in (f"q{row}" for row in range(200)) if fold_of(name, FOLDS, 0) == fold][:8]
    gate = fit_gate(_with(films, _odd(8), "children", patients))[1]
    assert gate.measurements[0].turned_away >= 8


def test_other_pictures_lie_beyond(films: Films) -> None:
    """Stripes finer than anything in the films are turned away."""
    statistics, gate = fit_gate(films)
    assert not any(gate.lets_in(float(distance)) for distance in statistics.distances(_odd(3)))


def test_one_odd_film_of_a_small_source_does_not_open_the_gate(films: Films) -> None:
    """Thirty films of a new site are too few to say from where on a picture is strange."""
    few = np.concatenate([_pictures(29, 7), _odd(1)])
    gate = fit_gate(_with(films, few, "new site"))[1]
    assert gate.largest_distance < 1.3 * fit_gate(films)[1].largest_distance
    assert [each.turned_away for each in gate.measurements if each.cases.startswith("new site")] == [1]


def test_one_patient_with_many_odd_films_does_not_open_the_gate(films: Films) -> None:
    """Patients are counted, not films."""
    many = _with(films, _odd(20), "children", ["one"] * 20)
    assert fit_gate(many)[1].largest_distance < 1.3 * fit_gate(films)[1].largest_distance


def test_a_handful_of_films_of_one_patient_still_makes_a_gate() -> None:
    """With a single fold nothing can be measured on others, and nothing is claimed to be turned away."""
    few = labelled(_pictures(6, 3), [0] * 6, patients=["one"] * 6)
    gate = fit_gate(few)[1]
    assert gate.largest_distance > 0
    assert [each.turned_away for each in gate.measurements] == [0]
