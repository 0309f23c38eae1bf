"""Many files through the children and the network: every one comes back, in order, whatever happens to some."""

import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dicom_io.phantom import self_test_pixels
from worker.inference import Engine, Scores
from worker.model.artifact import default_directory, load_card
from worker.screening.ahead import InterruptedRunError
from worker.screening.processes import PreparingProcesses
from worker.screening.record import Record
from worker.screening.run import FILES_AHEAD, Screener
from worker.screening.saying import ScreenedFile, counts_as_lost

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class _Answering(Engine):
    """An engine that gives the same logit whatever it sees."""

    def __init__(self, logit: float) -> None:
        self.card = load_card(default_directory())
        self.device = torch.device("cpu")
        self.logit = logit

    def score(self, pixels: np.ndarray) -> Scores:
        count = len(pixels)
        maps, distances = np.zeros((count, 7, 7), np.float16), np.zeros(count, np.float32)
        return Scores(np.full(count, self.logit, np.float32), maps, distances)


@pytest.fixture(scope="module")
def processes() -> Iterator[PreparingProcesses]:
    """One process that prepares."""
    with PreparingProcesses(load_card(default_directory()).input_spec, 1) as children:
        yield children


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """One film as a PNG."""
    path = tmp_path / "film.png"
    Image.fromarray(self_test_pixels()).save(path)
    return path


def _screen(files: list[Path], logit: float, processes: PreparingProcesses, batch_size: int = 0) -> list[ScreenedFile]:
    screener = Screener(_Answering(logit), processes, now=lambda: NOW, batch_size=batch_size)
    return list(screener.screen(files))


def test_a_score_that_is_no_number_is_a_lost_film(film: Path, processes: PreparingProcesses) -> None:
    """A faulty network makes a film UNSCREENED, never an unflagged one."""
    (screened,) = _screen([film], float("nan"), processes)
    assert (screened.flag.status, screened.flag.reason) == ("UNSCREENED", "no-score")
    assert screened.flag.images[0].probability is None
    assert counts_as_lost(film, screened.flag.reason, [])


@pytest.mark.parametrize(("above", "priority"), [(0.0, "HIGH"), (-0.01, None)])
def test_a_film_at_the_threshold_is_flagged(
    film: Path, above: float, priority: str | None, processes: PreparingProcesses
) -> None:
    """At the threshold the priority is raised; below it there is none, and no other word."""
    threshold = load_card(default_directory()).operating_point.threshold_logit
    (screened,) = _screen([film], float(np.float32(threshold)) + above + 1e-6, processes)
    assert (screened.flag.status, screened.flag.priority) == ("SCREENED", priority)
    assert not counts_as_lost(film, screened.flag.reason, [film])


def test_every_file_comes_back_in_order_whatever_the_batch(
    film: Path, tmp_path: Path, processes: PreparingProcesses
) -> None:
    """Batches of two over five files lose and reorder nothing."""
    files = [tmp_path / name for name in ("a.png", "b.txt", "c.png", "d.txt")]
    for path in files:
        path.write_bytes(film.read_bytes() if path.suffix == ".png" else b"text")
    screened = _screen([*files, film], 9.0, processes, batch_size=2)
    assert [one.path for one in screened] == [*files, film]
    assert [one.flag.priority for one in screened] == ["HIGH", None, "HIGH", None, "HIGH"]
    assert [len(one.films) for one in screened] == [1, 0, 1, 0, 1]


def test_only_so_many_files_are_begun_before_the_first_is_fetched(film: Path, processes: PreparingProcesses) -> None:
    """Memory does not grow with the number of files: a run of ten thousand has begun with a few when it says one."""
    begun = []

    def files() -> Iterator[Path]:
        for number in range(10_000):
            begun.append(number)
            yield film

    screener = Screener(_Answering(9.0), processes, now=lambda: NOW)
    first = next(screener.screen(files()))
    assert first.path == film
    assert len(begun) <= FILES_AHEAD + screener.batch_size * (torch.get_num_threads() + 2)


def test_a_file_whose_content_was_said_is_left_out(film: Path, tmp_path: Path, processes: PreparingProcesses) -> None:
    """The same content is not said twice of one path; other content under the name is."""
    screener, record = Screener(_Answering(9.0), processes, now=lambda: NOW), Record()
    (first,) = screener.screen([film], record)
    record.note(str(film), first.flag)
    assert list(screener.screen([film], record)) == []
    assert screener.unchanged == 1
    Image.fromarray(255 - self_test_pixels()).save(film)
    assert [one.path for one in screener.screen([film], record)] == [film]


@pytest.mark.timeout(30)
def test_a_run_that_is_told_to_stop_ends_though_a_file_hangs(tmp_path: Path) -> None:
    """The one that waits for a file that never comes is not waited for."""
    pipe = tmp_path / "pipe.dcm"
    os.mkfifo(pipe)
    with PreparingProcesses(load_card(default_directory()).input_spec, 1) as children:
        screener = Screener(_Answering(9.0), children, now=lambda: NOW)
        threading.Timer(1.0, screener.stop.set).start()
        with pytest.raises(InterruptedRunError):
            list(screener.screen([pipe]))
