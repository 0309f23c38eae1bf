"""A folder that is watched: which files in it have come to rest, and are not screened as they are.

By looking, again and again: a network share tells nobody of what others write to it.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

STILL_SECONDS = 1.0
_UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload")

_Look = tuple[int, int, int]  # size, mtime and ctime in nanoseconds


@dataclass(frozen=True, slots=True)
class Resting:
    """A file that stands still, and how it looked."""

    path: Path
    look: _Look

    @property
    def changed_at(self) -> float:
        """When its content or name changed last, by its own dates, in seconds since 1970."""
        return max(self.look[1:]) / 1e9


@dataclass
class Watch:
    """Looks for files below a folder; hidden ones, and names that say unfinished, are left alone.

    Attributes:
        folder: where to look, sub-folders included.
        still_seconds: how long a file must not have changed, by two looks or more.
        clock: seconds that only go forward.
    """

    folder: Path
    still_seconds: float = STILL_SECONDS
    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, tuple[_Look, float]] = field(default_factory=dict)
    _taken: dict[str, _Look] = field(default_factory=dict)

    def look(self) -> list[Resting]:
        """Return the files that stand still and were not taken as they are, the newest first.

        Raises:
            OSError: if the folder cannot be looked into, as when its share is away; nothing is forgotten.
        """
        now = self.clock()
        found = dict(_scan(str(self.folder)))
        self._seen = {path: self._since(path, look, now) for path, look in found.items() if self._is_new(path, look)}
        # A name that went and came back is looked at again; its content decides.
        self._taken = {path: look for path, look in self._taken.items() if path in found}
        resting = [
            Resting(Path(path), look)
            for path, (look, since) in self._seen.items()
            if now > since and now - since >= self.still_seconds
        ]
        return sorted(resting, key=lambda file: file.look[1], reverse=True)

    def take(self, file: Resting) -> None:
        """Leave a file out from now on, until it looks different."""
        self._taken[str(file.path)] = file.look
        self._seen.pop(str(file.path), None)

    def _is_new(self, path: str, look: _Look) -> bool:
        return self._taken.get(path) != look

    def _since(self, path: str, look: _Look, now: float) -> tuple[_Look, float]:
        before = self._seen.get(path)
        return before if before is not None and before[0] == look else (look, now)


def _scan(folder: str) -> Iterator[tuple[str, _Look]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not _is_unfinished(entry.name):
                yield from _scan_entry(entry)


def _scan_entry(entry: os.DirEntry[str]) -> Iterator[tuple[str, _Look]]:
    try:
        if entry.is_dir(follow_symlinks=False):
            yield from _scan(entry.path)
        elif entry.is_file():
            status = entry.stat()
            yield entry.path, (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    except OSError:  # gone, or closed to us, between two steps: it is looked for again
        return


def _is_unfinished(name: str) -> bool:
    return name.startswith(".") or name.lower().endswith(_UNFINISHED)
