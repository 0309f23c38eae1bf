"""When a file of a watched folder is taken, and when it is not."""

from pathlib import Path

import pytest

from worker.screening.watching import Watch


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    """A clock that stands still."""
    return _Clock()


@pytest.fixture
def watch(tmp_path: Path, clock: _Clock) -> Watch:
    """A watch that takes what stood still for one second."""
    return Watch(tmp_path, still_seconds=1.0, clock=clock)


def _look(watch: Watch, clock: _Clock, seconds: float) -> list[str]:
    clock.now += seconds
    return [file.path.name for file in watch.look()]


def test_a_file_is_taken_when_it_stood_still(watch: Watch, clock: _Clock, tmp_path: Path) -> None:
    """Not at the first look, and not while it grows."""
    film = tmp_path / "film.png"
    film.write_bytes(b"half")
    assert _look(watch, clock, 5) == []
    film.write_bytes(b"half and half")
    assert _look(watch, clock, 5) == []
    assert _look(watch, clock, 0.5) == []
    assert _look(watch, clock, 0.5) == ["film.png"]


def test_a_taken_file_comes_back_only_when_it_looks_different(watch: Watch, clock: _Clock, tmp_path: Path) -> None:
    """Once each, until it is replaced or written to."""
    film = tmp_path / "film.png"
    film.write_bytes(b"film")
    _look(watch, clock, 0)
    clock.now += 2
    (file,) = watch.look()
    watch.take(file)
    assert _look(watch, clock, 2) == []
    film.write_bytes(b"another film")
    assert _look(watch, clock, 2) == []
    assert _look(watch, clock, 2) == ["film.png"]


def test_what_is_hidden_or_unfinished_is_left_alone_and_sub_folders_are_not(
    watch: Watch, clock: _Clock, tmp_path: Path
) -> None:
    """Names under which programs write until they are done, and what a share hides, are no films."""
    for name in (".film.png", "film.tmp", "film.PNG.part", ".snapshot/film.png", "room 1/day/film.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"film")
    _look(watch, clock, 0)
    assert [str(file.path.relative_to(tmp_path)) for file in _after(watch, clock)] == ["room 1/day/film.png"]


def _after(watch: Watch, clock: _Clock) -> list[object]:
    clock.now += 2
    return list(watch.look())


def test_a_folder_that_is_away_forgets_nothing(watch: Watch, clock: _Clock, tmp_path: Path) -> None:
    """The share is unmounted and mounted again: an error meanwhile, and nothing is taken twice."""
    (tmp_path / "film.png").write_bytes(b"film")
    _look(watch, clock, 0)
    clock.now += 2
    (file,) = watch.look()
    watch.take(file)
    away = tmp_path.with_name("away")
    tmp_path.rename(away)
    with pytest.raises(FileNotFoundError):
        watch.look()
    away.rename(tmp_path)
    _look(watch, clock, 2)
    assert _look(watch, clock, 2) == []
