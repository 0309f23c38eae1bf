"""Kept films are the films that would be read; whatever happened to the folder, none is wrong and none is lost."""

import os
from pathlib import Path

import numpy as np
import pytest

from dicom_io.errors import ImageError
from dicom_io.phantom import phantom_dataset
from training import film_cache, reading
from training.film_cache import FilmCache, standard_cache
from training.reading import ReadFilm, preparation_version, read_film
from worker.model.input_spec import InputSpec

SPEC = InputSpec()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A DICOM film of 160 kB, of a child of one and a half years."""
    return _film(tmp_path, 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where films are kept; not made yet."""
    return tmp_path / "caches" / "films"


def _film(at: Path, seed: int) -> Path:
    path = at / f"film{seed}.dcm"
    phantom_dataset(seed, rows=320, columns=256, patient_age="018M").save_as(path, enforce_file_format=True)
    return path


def _forbid_decoding(patch: pytest.MonkeyPatch) -> None:
    def decode(path: Path, spec: InputSpec) -> ReadFilm:
        pytest.fail(f"{path} was decoded again")

    patch.setattr(film_cache, "read_film", decode)


def _assert_same(one: ReadFilm, other: ReadFilm) -> None:
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert (one.aspect, one.facts) == (other.aspect, other.facts)


def test_a_second_run_does_not_decode(film: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels, aspect, age and view come from the folder, by content: a copy under another name is known too."""
    first = FilmCache(folder).read(film, SPEC)
    moved = film.rename(film.with_name("moved.dcm"))
    _forbid_decoding(monkeypatch)
    again = FilmCache(folder).read(moved, SPEC)
    _assert_same(again, first)
    assert (again.aspect, again.facts.view) == (0.8, "AP")
    assert again.facts.age == pytest.approx(1.5)


def test_a_file_replaced_under_its_name_and_time_is_read_anew(film: Path, folder: Path) -> None:
    """Name, size and time are the same, the film is not."""
    FilmCache(folder).read(film, SPEC)
    times, size = film.stat(), film.stat().st_size
    film.write_bytes(_film(film.parent, 2).read_bytes()[:size])
    os.utime(film, ns=(times.st_atime_ns, times.st_mtime_ns))
    _assert_same(FilmCache(folder).read(film, SPEC), read_film(film, SPEC))


def test_another_preparation_is_another_entry(film: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither another size nor other code finds what was kept."""
    FilmCache(folder).read(film, SPEC)
    assert FilmCache(folder).read(film, InputSpec(size=96)).pixels.shape == (96, 96)
    monkeypatch.setattr(film_cache, "preparation_version", lambda: "newer code")
    FilmCache(folder).read(film, SPEC)
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("damage", ["shorter", "longer", "first", "middle", "last", "empty"])
def test_a_damaged_entry_is_prepared_again(film: Path, folder: Path, damage: str) -> None:
    """One wrong bit anywhere is noticed; afterwards the entry is whole."""
    FilmCache(folder).read(film, SPEC)
    (entry,) = folder.iterdir()
    whole = entry.read_bytes()
    places = {"first": 0, "middle": len(whole) // 2, "last": -1}
    broken = bytearray({"shorter": whole[:-1], "longer": whole + b"\0", "empty": b""}.get(damage, whole))
    if damage in places:
        broken[places[damage]] ^= 1
    entry.write_bytes(broken)
    _assert_same(FilmCache(folder).read(film, SPEC), read_film(film, SPEC))
    assert entry.read_bytes() == whole


def test_a_run_killed_while_writing_leaves_no_entry(film: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not finished is not found under the entry's name."""

    def killed(self: Path, data: bytes) -> None:
        with self.open("wb") as file:
            file.write(data[:1000])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", killed)
    with pytest.raises(KeyboardInterrupt):
        FilmCache(folder).read(film, SPEC)
    monkeypatch.undo()
    assert list(folder.glob("*.film")) == []
    _assert_same(FilmCache(folder).read(film, SPEC), read_film(film, SPEC))


def test_a_folder_that_cannot_be_written_costs_only_time(film: Path, tmp_path: Path) -> None:
    """A file lies where the folder should be: the film is read all the same."""
    (tmp_path / "occupied").write_text("")
    _assert_same(FilmCache(tmp_path / "occupied" / "films").read(film, SPEC), read_film(film, SPEC))


def test_what_was_not_used_for_longest_goes_first(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder stays within its limit, leftovers of killed runs included, and other files in it are left alone."""
    monkeypatch.setattr(film_cache, "_TRIMMED_EVERY", 1)
    films = [_film(tmp_path, seed) for seed in range(4)]
    cache = FilmCache(folder, limit=3 * (SPEC.size**2 + 200))
    leftover = folder / f"{'0' * 64}.film.17"
    for time, film in enumerate(films[:3]):  # the first is the oldest
        before = set(folder.glob("*"))
        cache.read(film, SPEC)
        (entry,) = set(folder.glob("*")) - before
        os.utime(entry, (time, time))
    leftover.write_bytes(b"unfinished")
    os.utime(leftover, (0, 0))
    (folder / "holiday.film").write_bytes(bytes(10**6))
    cache.read(films[0], SPEC)  # used just now
    cache.read(films[3], SPEC)
    assert len(list(folder.glob(f"{'[0-9a-f]' * 64}.film"))) == 3
    assert sorted(entry.name for entry in folder.iterdir() if len(entry.name) != 69) == ["holiday.film"]
    _forbid_decoding(monkeypatch)
    cache.read(films[0], SPEC)
    cache.read(films[3], SPEC)


def test_small_files_are_not_kept(tmp_path: Path, folder: Path) -> None:
    """An entry larger than its file is not worth its place."""
    small = tmp_path / "small.dcm"
    phantom_dataset(1, rows=100, columns=100).save_as(small, enforce_file_format=True)
    FilmCache(folder).read(small, SPEC)
    assert not folder.exists()


def test_a_broken_film_is_not_kept(film: Path, folder: Path) -> None:
    """Its error comes again, in the same words."""
    film.write_bytes(film.read_bytes()[:100_000])
    causes = []
    for _ in range(2):
        with pytest.raises(ImageError) as error:
            FilmCache(folder).read(film, SPEC)
        causes.append(str(error.value))
    assert causes[0] == causes[1]
    assert not folder.exists()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"CXR_FILM_CACHE": "off", "XDG_CACHE_HOME": "/x"}, None),
        ({"CXR_FILM_CACHE": "/films", "XDG_CACHE_HOME": "/x"}, Path("/films")),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, Path("/x/cxr-triage/films")),
        ({"HOME": "/h"}, Path("/h/.cache/cxr-triage/films")),
    ],
)
def test_where_films_are_kept(
    environment: dict[str, str], expected: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By our own variable, else where the user keeps caches."""
    for name in ("CXR_FILM_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert standard_cache()._folder == expected


def test_films_are_for_their_owner_only(film: Path, folder: Path) -> None:
    """They show patients."""
    FilmCache(folder).read(film, SPEC)
    (entry,) = folder.iterdir()
    assert (folder.stat().st_mode & 0o777, entry.stat().st_mode & 0o777) == (0o700, 0o600)


def test_the_version_follows_code_and_decoders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another release of a decoder is another preparation."""
    before = preparation_version()
    preparation_version.cache_clear()
    monkeypatch.setattr(reading.metadata, "version", lambda _: "0")
    after = preparation_version()
    preparation_version.cache_clear()
    assert before != after
