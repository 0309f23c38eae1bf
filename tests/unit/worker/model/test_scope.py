"""The gate: what does not look like a chest film is turned away, a flagged film never."""

from pathlib import Path

import numpy as np
import pytest

from dicom_io.phantom import self_test_pixels
from worker.errors import ModelError
from worker.model.artifact import SCOPE_NAME, default_directory, load_card
from worker.model.judgement import judge_frame
from worker.model.preprocessing import prepare
from worker.model.scope import ScopeStatistics, load_scope, thumbnails


def test_brightness_and_contrast_do_not_matter() -> None:
    """A film and its darker, flatter copy have nearly the same thumbnail."""
    film = self_test_pixels()
    pale = (film // 2 + 40).astype(np.uint8)
    first, second = thumbnails(np.stack([film, pale]))
    assert np.abs(first - second).max() < 0.1


def test_the_distance_is_that_of_the_described_covariance() -> None:
    """The distance equals the textbook quadratic form over components and residual, written out as one matrix."""
    films = np.random.default_rng(0).integers(0, 256, (400, 28, 28), dtype=np.uint8)
    statistics = ScopeStatistics.fit(films, np.ones(400), components=64)
    along = statistics.components.astype(np.float64)
    beside = np.eye(along.shape[1]) - along.T @ along
    precision = along.T @ np.diag(1 / statistics.variances) @ along + beside / statistics.residual_variance
    centred = thumbnails(films) - statistics.mean
    expected = np.sqrt(np.einsum("nd,de,ne->n", centred, precision, centred))
    assert np.allclose(statistics.distances(films), expected, rtol=1e-3)


def test_a_film_that_counts_twice_is_two_films() -> None:
    """Weights are counts: a described set with doubled films gives the statistics of a weight of two."""
    films = np.random.default_rng(1).integers(0, 256, (300, 28, 28), dtype=np.uint8)
    weights = np.where(np.arange(300) < 100, 2.0, 1.0)
    doubled = np.concatenate([films, films[:100]])
    weighted = ScopeStatistics.fit(films, weights, components=32).distances(films)
    assert np.allclose(weighted, ScopeStatistics.fit(doubled, np.ones(400), components=32).distances(films), rtol=1e-3)


def test_chest_films_pass_the_shipped_gate_and_a_dog_does_not(shared_data: Path) -> None:
    """Tags call all of them chest radiographs; the picture tells the dog from the films."""
    directory = default_directory()
    card = load_card(directory)
    statistics = load_scope(directory, card)
    films = sorted((shared_data / "dicom" / "chest").glob("*.dcm"))
    dog = shared_data / "dicom" / "other" / "highdicom__dx_image.dcm"
    distances = statistics.distances(np.concatenate([prepare(path) for path in [*films, dog]]))
    assert [card.scope.lets_in(float(distance)) for distance in distances] == [True] * len(films) + [False]


def test_the_shipped_gate_turns_away_about_one_chest_film_in_200_at_most() -> None:
    """On patients who did not set its distance; a set of 500 films may by chance lose twice as many."""
    for measured in load_card(default_directory()).scope.measurements:
        assert measured.images >= 499
        assert measured.turned_away <= 0.01 * measured.images


def test_a_flagged_frame_is_in_scope_however_strange() -> None:
    """The gate never silences a flag, and a distance that is no number lets the frame in."""
    card = load_card(default_directory())
    flagging, quiet = card.operating_point.threshold_logit + 1, card.operating_point.threshold_logit - 1
    assert judge_frame(card, flagging, 1e6).in_scope
    assert judge_frame(card, flagging, 1e6).strange
    assert not judge_frame(card, quiet, 1e6).in_scope
    assert judge_frame(card, quiet, float("nan")).in_scope


def test_statistics_of_another_model_are_refused(tmp_path: Path) -> None:
    """The card names the hash of its statistics; a changed or absent file is a ModelError."""
    card = load_card(default_directory())
    with pytest.raises(ModelError, match="copy the whole model directory"):
        load_scope(tmp_path, card)
    statistics = load_scope(default_directory(), card)
    (tmp_path / SCOPE_NAME).write_bytes(statistics.encode()[:-4] + b"\0\0\0\0")
    with pytest.raises(ModelError, match="not the file that the card names"):
        load_scope(tmp_path, card)
