"""What is said of a file whose score is no number, and of files lost on the way."""

import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicom_io.phantom import self_test_pixels
from worker.inference import Engine, Scores
from worker.model.artifact import default_directory, load_card
from worker.screening import counts_as_lost, find_files, screen_files

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class _Answering(Engine):
    """An engine that gives the same logit whatever it sees."""

    def __init__(self, logit: float) -> None:
        self.card = load_card(default_directory())
        self.logit = logit

    def score(self, pixels: np.ndarray) -> Scores:
        count = len(pixels)
        maps, distances = np.zeros((count, 7, 7), np.float16), np.zeros(count, np.float32)
        return Scores(np.full(count, self.logit, np.float32), maps, distances)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """One film as a PNG."""
    path = tmp_path / "film.png"
    Image.fromarray(self_test_pixels()).save(path)
    return path


def test_a_score_that_is_no_number_is_a_lost_film(film: Path) -> None:
    """A faulty network makes a film UNSCREENED, never an unflagged one."""
    (screened,) = screen_files([film], _Answering(float("nan")), now=NOW)
    assert (screened.flag.status, screened.flag.reason) == ("UNSCREENED", "no-score")
    assert screened.flag.images[0].probability is None
    assert counts_as_lost(screened, [])


@pytest.mark.parametrize(("above", "priority"), [(0.0, "HIGH"), (-0.01, None)])
def test_a_film_at_the_threshold_is_flagged(film: Path, above: float, priority: str | None) -> None:
    """At the threshold the priority is raised; below it there is none, and no other word."""
    threshold = load_card(default_directory()).operating_point.threshold_logit
    (screened,) = screen_files([film], _Answering(float(np.float32(threshold)) + above + 1e-6), now=NOW)
    assert (screened.flag.status, screened.flag.priority) == ("SCREENED", priority)
    assert not counts_as_lost(screened, [film])


def test_every_file_comes_back_in_order_whatever_the_batch(film: Path, tmp_path: Path) -> None:
    """Batches of two over five files lose and reorder nothing."""
    for name in ("a.png", "b.txt", "c.png", "d.txt"):
        (tmp_path / name).write_bytes(film.read_bytes() if name.endswith("png") else b"text")
    files = find_files([tmp_path])
    screened = list(screen_files(files, _Answering(9.0), now=NOW, batch_size=2))
    assert [one.path.name for one in screened] == ["a.png", "b.txt", "c.png", "d.txt", "film.png"]
    assert [one.flag.priority for one in screened] == ["HIGH", None, "HIGH", None, "HIGH"]


def test_a_file_named_twice_is_listed_once_and_hidden_ones_only_by_name(film: Path, tmp_path: Path) -> None:
    """Folders give what lies in them without hidden files; a file that was named is always meant."""
    hidden = tmp_path / ".hidden.png"
    hidden.write_bytes(film.read_bytes())
    assert find_files([film, tmp_path]) == [film]
    assert find_files([hidden]) == [hidden]


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    """Only files are listed; a link that leads nowhere is one that cannot be opened, and has its line."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    assert find_files([tmp_path]) == [tmp_path / "lost"]
