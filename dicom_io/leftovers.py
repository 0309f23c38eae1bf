"""Taking files out of the spool while senders put files in.

A sender that sends an object again touches its file (`Spool.store`). What is taken away is first moved aside, then its
time is read: a file that was touched goes back, and one that is touched later is no longer there and written anew. So
no object that is answered with success is ever taken away under its sender's hands.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_FOLDER = re.compile(r"[0-9a-f]{2}")
_FILE = re.compile(r"([0-9a-f]{64})\.dcm")
_HIDDEN = re.compile(r"\.([0-9a-f]{64})\.dcm\..+")
_ASIDE = ".aside"


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file of the spool.

    Attributes:
        content_sha256: 64 hex digits, from its name.
        whole: False for what a writer that died has begun.
        aside: whether it is whole and was being taken away when that was interrupted.
        changed_at: time of its last change or touch, seconds since the epoch.
        size: bytes.
    """

    path: Path
    content_sha256: str
    whole: bool
    aside: bool
    changed_at: float
    size: int


def folders(root: Path) -> list[Path]:
    """Return the folders of a spool in order; empty if there is none."""
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if _FOLDER.fullmatch(path.name))


def files(folder: Path) -> Iterator[Leftover]:
    """List the files of one folder that bear the names that we give; anything else is not ours to touch."""
    with os.scandir(folder) as entries:
        for entry in entries:
            whole, hidden = _FILE.fullmatch(entry.name), _HIDDEN.fullmatch(entry.name)
            named = whole or hidden
            if named is None:
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # renamed or taken away meanwhile
                continue
            aside = hidden is not None and entry.name.endswith(_ASIDE)
            yield Leftover(Path(entry.path), named[1], whole is not None, aside, status.st_mtime, status.st_size)


def discard(path: Path, *, unless_touched_since: float) -> bool:
    """Take a whole file away.

    Args:
        path: of the spool.
        unless_touched_since: seconds since the epoch; a sender that sends the object again has touched it.

    Returns:
        False if it was touched and stays. True also if it was gone before.

    Raises:
        OSError: if the folder cannot be changed.
    """
    aside = path.with_name(f".{path.name}{_ASIDE}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return True
    if aside.stat().st_mtime >= unless_touched_since:
        aside.rename(path)
        return False
    aside.unlink(missing_ok=True)
    return True


def put_back(leftover: Leftover) -> None:
    """Give a file that was moved aside its name again, unless somebody else just did."""
    with suppress(FileNotFoundError):
        leftover.path.rename(leftover.path.with_name(f"{leftover.content_sha256}.dcm"))
