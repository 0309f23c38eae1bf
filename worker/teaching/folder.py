"""The folder that an export writes: films, a manifest for `cxr-train`, and what was left out."""

import csv
import fcntl
import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.errors import ExportError
from worker.pictures import save_film

MANIFEST_NAME = "manifest.csv"
SUMMARY_NAME = "export.json"
_FILMS = "films"
_SCHEMA = "cxr-triage/training/1"
_COLUMNS = ("path", "label", "patient", "verdict")


@dataclass(frozen=True, slots=True)
class ExportFolder:
    """A folder of this export's own, made by `own_folder`; every file in it is written whole or not at all."""

    path: Path

    def add(self, name: str, film: NDArray[np.uint8]) -> str:
        """Write a film, uint8 (rows, columns), as PNG; returns its path below the folder."""
        target = self.path / _FILMS / f"{name}.png"
        part = target.with_name(f".{target.name}")
        save_film(film, part)
        part.replace(target)
        return f"{_FILMS}/{target.name}"

    def finish(self, rows: Sequence[tuple[str, int, str, str]], summary: dict[str, Any]) -> None:
        """Write manifest and summary, and remove films of an earlier export that are not listed any more."""
        text = io.StringIO(newline="")
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(_COLUMNS)
        lines.writerows(sorted(rows))
        _write(self.path / MANIFEST_NAME, text.getvalue())
        listed = {self.path / row[0] for row in rows}
        for film in (self.path / _FILMS).iterdir():
            if film not in listed:
                film.unlink()
        _write(self.path / SUMMARY_NAME, _summary(finished=True, **summary))


@contextmanager
def own_folder(path: Path) -> Iterator[ExportFolder]:
    """Take a new or empty folder, or that of an earlier export, for the length of the block; readable by us only.

    Raises:
        ExportError: if it holds anything else, or another export writes it now.
        OSError: if it cannot be made or written.
    """
    if path.exists() and not path.is_dir():
        raise ExportError(f"{path} is a file; name a folder")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _only_one(path):
        if any(path.iterdir()) and not _is_own(path):
            raise ExportError(f"{path} is not empty and no earlier export; name a new folder")
        path.chmod(0o700)
        (path / _FILMS).mkdir(mode=0o700, exist_ok=True)
        _write(path / SUMMARY_NAME, _summary(finished=False))  # whose folder it is, should this export be broken off
        yield ExportFolder(path)


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ExportError(f"{path} is being written by another export; wait for its end") from None
    finally:
        os.close(descriptor)


def _is_own(path: Path) -> bool:
    try:
        found = json.loads((path / SUMMARY_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("schema") == _SCHEMA


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _summary(*, finished: bool, **facts: Any) -> str:
    return json.dumps({"schema": _SCHEMA, "finished": finished, **facts}, indent=2) + "\n"
