"""The picture of an activation map: the film in its own shape, and everything that is said below it."""

import numpy as np
import pytest

from worker.delivery.heatmap_picture import DISCLAIMER, LONGEST_SIDE, draw_heatmap, film_shape
from worker.model.overlay import evidence_palette, overlay

FILM = np.full((224, 224), 90, np.uint8)
NOTHING = np.zeros((7, 7), np.float16)


@pytest.mark.parametrize(
    ("source", "drawn"),
    [
        ((3056, 2544), (1024, 852)),
        ((1955, 1841), (1024, 964)),
        ((520, 992), (537, 1024)),
        ((16, 16), (1024, 1024)),
        ((10_000, 10), (1024, 64)),
    ],
)
def test_the_film_gets_its_aspect_ratio_back(source: tuple[int, int], drawn: tuple[int, int]) -> None:
    """To the nearest pixel, its longest side 1024 pixels; a film like a thread stays visible."""
    assert film_shape(*source) == drawn
    picture = draw_heatmap(FILM, NOTHING, shape=drawn, statements=["x"])
    assert (picture[: drawn[0], : drawn[1]] == 90).all()
    assert picture.shape[0] > drawn[0]


@pytest.mark.parametrize("shape", [(LONGEST_SIDE, 600), (400, LONGEST_SIDE)])
def test_nothing_is_written_over_the_film(shape: tuple[int, int]) -> None:
    """The part of the picture that shows the film is the overlay and nothing else, whatever is said below."""
    evidence = np.full((7, 7), 8, np.float16)
    rows, columns = shape
    words, none = (draw_heatmap(FILM, evidence, shape=shape, statements=s) for s in (["word " * 100], []))
    assert (words[:rows, :columns] == overlay(np.full(shape, 90, np.uint8), evidence)).all()
    assert (words[:rows, :columns] == none[:rows, :columns]).all()
    assert words.shape[0] > none.shape[0]


def test_a_cell_of_the_map_lies_where_the_network_looked() -> None:
    """Evidence in the top right cell of the map is orange at the top right of a film that is not square."""
    evidence = NOTHING.copy()
    evidence[0, 6] = 8
    picture = draw_heatmap(FILM, evidence, shape=(500, LONGEST_SIDE), statements=[])
    orange = np.argwhere(picture[:500, :, 0] > picture[:500, :, 2].astype(int) + 20)
    assert orange[:, 0].max() < 2 * 500 / 7
    assert orange[:, 1].min() > 5 * LONGEST_SIDE / 7


def test_the_scale_shows_every_colour_from_none_to_full_evidence() -> None:
    """A bar below the film runs through the palette, from mid-grey to the full colour."""
    picture = draw_heatmap(FILM, NOTHING, shape=(LONGEST_SIDE, LONGEST_SIDE), statements=[])
    below = picture[LONGEST_SIDE:].astype(int)
    (bar,) = np.unique(below[(below[..., 0] > below[..., 2] + 60).sum(axis=1) > 300], axis=0)
    assert bar[16].tolist() == evidence_palette()[0].tolist() == [128, 128, 128]
    assert bar[-17].tolist() == evidence_palette()[255].tolist()
    assert (np.diff(bar[16:-16, 0]) >= 0).all()


@pytest.mark.parametrize("columns", [64, 300, LONGEST_SIDE])
def test_the_text_stays_inside_the_picture(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its padding stays black at both sides and below, on the narrowest film, too, and the disclaimer is in it."""
    picture = draw_heatmap(FILM, NOTHING, shape=(LONGEST_SIDE, columns), statements=["long " * 60, "model"])
    margin = picture[LONGEST_SIDE:]
    for edge in (margin[:, :15], margin[:, -15:], margin[-10:]):
        assert not edge.any()
    monkeypatch.setattr("worker.delivery.heatmap_picture.DISCLAIMER", "")
    without = draw_heatmap(FILM, NOTHING, shape=(LONGEST_SIDE, columns), statements=["long " * 60, "model"])
    assert without.shape[0] < picture.shape[0]


def test_the_disclaimer_says_what_the_map_is_not() -> None:
    """It names neither a place nor an extent of disease, and is no diagnosis."""
    for words in ("not the location or extent of disease", "Preliminary, unverified", "Not for diagnosis"):
        assert words in DISCLAIMER
