"""Prepared films on the disk, so that a second run does not decode again.

An entry is found by the hash of the file's bytes, not by name and time: a file that was replaced, restored from a
backup or moved cannot bring another film's pixels. The other parts of the key are the preparation that was asked for,
and the code and decoders that did it.

Measured on two shared cores: 120 Kermany originals (344 kB each) take 1.5 s without and 0.12 to 0.18 s with the cache,
the first run 2.5 s. A JPEG of 224 pixels (6 kB) takes 2 ms anyway, 10 s for all 5,232 of them, and its entry would be
eight times as large as itself. So only files that are larger than the film they become are kept.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from training.facts import Facts
from training.reading import ReadFilm, preparation_version, read_film
from worker.model.input_spec import InputSpec

VARIABLE = "CXR_FILM_CACHE"
_OFF = "off"
_TRIMMED_EVERY = 4096  # films kept
_LIMIT = 4 << 30  # bytes: 85,000 films of 224 pixels
_ENTRY = re.compile(r"[0-9a-f]{64}\.film(\.\d+)?")
_DIGEST_SIZE = hashlib.sha256().digest_size


class FilmCache:
    """A folder of prepared films; it may be deleted at any time, and several runs may use it at once.

    Args:
        folder: made when the first film is kept; None keeps nothing.
        limit: size that the folder is brought down to at the first film kept and every 4096th after it, bytes; what was
            not used for longest goes first.
    """

    def __init__(self, folder: Path | None, limit: int = _LIMIT) -> None:
        self._folder = folder
        self._limit = limit
        self._kept = 0

    def read(self, path: Path, spec: InputSpec) -> ReadFilm:
        """Return the film of a file, from the folder if it is there and whole.

        Raises:
            ImageError: as `read_film`.
            OSError: as `read_film`.
            DataError: as `read_film`.
        """
        if self._folder is None or path.stat().st_size <= spec.size**2:
            return read_film(path, spec)
        entry = self._folder / _key(path, spec)
        film = _load(entry, spec)
        if film is None:
            film = read_film(path, spec)
            with suppress(OSError):  # a full or read-only disk costs time only
                self._keep(entry, film)
        return film

    def _keep(self, entry: Path, film: ReadFilm) -> None:
        _store(entry, film)
        if self._kept % _TRIMMED_EVERY == 0:
            self._trim(entry.parent)
        self._kept += 1

    def _trim(self, folder: Path) -> None:
        entries = sorted(_entries(folder))
        surplus = sum(size for _, size, _ in entries) - self._limit
        for _, size, entry in entries:
            if surplus <= 0:
                break
            entry.unlink(missing_ok=True)
            surplus -= size


def standard_cache() -> FilmCache:
    """Return the user's cache: the folder named by `CXR_FILM_CACHE` (`off`: none), else below the user's cache folder.

    Source: XDG Base Directory Specification, `XDG_CACHE_HOME`.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return FilmCache(None if named == _OFF else Path(named))
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home, as in some containers
        return FilmCache(None)
    return FilmCache(caches / "cxr-triage" / "films")


def _key(path: Path, spec: InputSpec) -> str:
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(f"{content} {spec.sha256} {preparation_version()}".encode()).hexdigest() + ".film"


def _load(entry: Path, spec: InputSpec) -> ReadFilm | None:
    """Read an entry; None if it is absent or damaged."""
    try:
        blob = entry.read_bytes()
        os.utime(entry)  # the time of its last use, for `trim`
    except OSError:
        return None
    digest, content = blob[:_DIGEST_SIZE], blob[_DIGEST_SIZE:]
    if hashlib.sha256(content).digest() != digest:
        return None
    head, _, pixels = content.partition(b"\n")
    said = json.loads(head)
    film = np.frombuffer(pixels, np.uint8).reshape(spec.size, spec.size)
    return ReadFilm(film, said["aspect"], Facts(said["age"], said["view"]))


def _entries(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """Time of the last use, size and path of each entry, those of killed runs included; other files are nobody's."""
    for entry in folder.iterdir():
        with suppress(FileNotFoundError):  # another run trims too
            if _ENTRY.fullmatch(entry.name):
                yield entry.stat().st_mtime_ns, entry.stat().st_size, entry


def _store(entry: Path, film: ReadFilm) -> None:
    head = {"aspect": film.aspect, "age": film.facts.age, "view": film.facts.view}
    content = json.dumps(head).encode() + b"\n" + film.pixels.tobytes()
    entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # films of patients: nobody else's business
    unfinished = entry.with_name(f"{entry.name}.{os.getpid()}")
    try:
        unfinished.touch(mode=0o600)
        unfinished.write_bytes(hashlib.sha256(content).digest() + content)
        unfinished.replace(entry)
    finally:
        unfinished.unlink(missing_ok=True)
