"""Copies of an exposure are found through what is commonly done to files; other exposures are not taken for copies."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from training.datasets import find_cases
from training.films import load_films
from training.near_duplicates import near_duplicates
from worker.model.input_spec import InputSpec

Picture = Image.Image


@pytest.fixture(scope="module")
def films() -> NDArray[np.uint8]:
    """Twelve pictures of soft random structure, shape (12, 224, 224); drawn phantoms are too much alike."""
    coarse = np.random.default_rng(4).integers(40, 200, (12, 40, 40), dtype=np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(plane).resize((224, 224), Image.Resampling.BICUBIC)) for plane in coarse]
    )


def _compressed(film: Picture) -> Picture:
    stream = io.BytesIO()
    film.save(stream, "JPEG", quality=30)
    return Image.open(stream)


CHANGES: dict[str, Callable[[Picture], Picture]] = {
    "resized": lambda film: film.resize((100, 120)).resize(film.size),
    "compressed anew": _compressed,
    "brighter": lambda film: film.point(lambda grey: min(255, grey + 25)),
    "harder": lambda film: film.point(lambda grey: max(0, min(255, int((grey - 128) * 1.3 + 128)))),
    "gamma": lambda film: film.point(lambda grey: int(255 * (grey / 255) ** 1.3)),
    "inverted": lambda film: film.point(lambda grey: 255 - grey),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_changed_copy_is_found(films: NDArray[np.uint8], change: Callable[[Picture], Picture]) -> None:
    """It and its original are the only pair."""
    copy = np.asarray(change(Image.fromarray(films[3])))
    keys = np.array([str(row) for row in range(13)])
    assert near_duplicates(np.concatenate([films, copy[None]]), keys) == [(3, 12)]


def test_films_of_one_group_are_not_compared(films: NDArray[np.uint8]) -> None:
    """Two exposures of one patient may look alike."""
    assert near_duplicates(films[[0, 0]], np.array(["a", "a"])) == []
    assert near_duplicates(films[[0, 0]], np.array(["a", "b"])) == [(0, 1)]


def test_pairs_are_found_across_blocks(films: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing block by block loses none and doubles none."""
    monkeypatch.setattr("training.near_duplicates._BLOCK", 5)
    many = films[[*range(12), 0, 11, 5]]
    keys = np.array([str(row) for row in range(len(many))])
    assert near_duplicates(many, keys) == [(0, 12), (5, 14), (11, 13)]


def test_real_films_and_their_changed_copies(shared_data: Path) -> None:
    """Of sixteen children no two are alike, and every changed copy of a film is found."""
    films, _ = load_films(find_cases(shared_data / "kermany_224/val"), InputSpec())
    copies = [np.asarray(change(Image.fromarray(films.pixels[0]))) for change in CHANGES.values()]
    keys = np.array([*films.patients.tolist(), *["copy"] * len(copies)])
    pairs = near_duplicates(np.concatenate([films.pixels, np.stack(copies)]), keys)
    assert pairs == [(0, len(films) + row) for row in range(len(copies))]
