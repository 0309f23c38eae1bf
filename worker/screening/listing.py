"""Which files are meant by the paths of a command line."""

from collections.abc import Iterable
from pathlib import Path


def find_files(paths: Iterable[Path]) -> list[Path]:
    """List the files that are named, and every file below the folders that are named, but hidden ones; sorted."""
    found: dict[Path, None] = {}
    for path in paths:
        inside = sorted(filter(_is_listed, path.rglob("*"))) if path.is_dir() else [path]
        found.update(dict.fromkeys(inside))
    return list(found)


def _is_listed(path: Path) -> bool:
    # A link that leads nowhere has its line too; a pipe would be waited for without end.
    return path.name[0] != "." and (path.is_file() or not path.exists())
