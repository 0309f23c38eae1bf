"""The dumb floor: every shortcut that was put into the films shows, and what the films cannot answer is left out."""

from dataclasses import replace

import numpy as np
import pytest

from tests.labelled import labelled
from training.films import Films
from training.floor import Floor, dumb_floor, thumbnails

SIDE = 32
LABELS = [0, 1] * 10


@pytest.fixture
def films() -> Films:
    """Twenty films whose pictures say nothing of their labels."""
    return labelled(np.random.default_rng(1).integers(0, 256, (20, SIDE, SIDE), dtype=np.uint8), LABELS)


@pytest.mark.parametrize(
    ("column", "name"), [("file_bytes", "file size"), ("aspects", "aspect ratio")], ids=["size", "aspect"]
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_shortcut_counts_in_either_direction(films: Films, column: str, name: str, sign: int) -> None:
    """Large files for the sick, or small ones: both tell the classes apart."""
    told = replace(films, **{column: np.array(LABELS) * sign})
    assert dumb_floor(told).areas[name] == 1
    assert dumb_floor(films).areas[name] == 0.5  # all alike


def test_brightness_counts(films: Films) -> None:
    """Darker films of the sick are found."""
    films.pixels[films.labels == 1] //= 4
    assert dumb_floor(films).areas["mean grey level"] == 1


def test_the_view_counts_where_it_is_known(films: Films) -> None:
    """Unknown and lateral views are left out; where only one view is left there is nothing to measure."""
    views = np.where(films.labels == 1, "AP", "PA")
    views[:4] = ["", "LL", "AP", "PA"]  # the last two against the rule
    assert dumb_floor(replace(films, views=views)).areas["AP view"] == pytest.approx((8 / 9 + 8 / 9) / 2)
    assert "AP view" not in dumb_floor(replace(films, views=np.array(["AP"] * 20))).areas


def test_the_nearest_thumbnail_is_asked_among_training_films_only(films: Films) -> None:
    """Films that copy training films get their labels; without training films nobody is asked."""
    copies = replace(films, labels=1 - films.labels)
    assert dumb_floor(films, copies).areas["nearest thumbnail"] == 0
    assert dumb_floor(films, films).areas["nearest thumbnail"] == 1
    assert "nearest thumbnail" not in dumb_floor(films).areas
    assert "nearest thumbnail" not in dumb_floor(films, films.take([])).areas


def test_one_class_gives_no_floor(films: Films) -> None:
    """An AUC needs both classes."""
    assert dumb_floor(films.take(films.labels == 1), films).areas == {}


def test_the_best_shortcut_comes_first() -> None:
    """The lines are in the order of what matters."""
    assert Floor(areas={"file size": 0.6, "AP view": 0.9}).lines()[0] == "AUC of AP view alone: 0.900"


def test_a_thumbnail_is_the_mean_of_its_blocks() -> None:
    """Each number is an average of 2 x 2 pixels here; an odd last row and column are left out."""
    film = np.arange(33 * 33, dtype=np.uint16).astype(np.uint8).reshape(1, 33, 33)
    small = thumbnails(film, 16)
    assert small.shape == (1, 16, 16)
    assert small[0, 0, 0] == film[0, :2, :2].mean()
    assert small[0, 15, 15] == film[0, 30:32, 30:32].mean()
