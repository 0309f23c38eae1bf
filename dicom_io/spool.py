"""Making received bytes durable: write, fsync, rename, fsync the folder.

A file in the spool is whole and survives a power cut, or it is not there. Its name is the hash of its content, never
anything that was received.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from dicom_io.durability import sync
from dicom_io.errors import SpoolError

_COMPARED_BYTES = 1 << 20


class Spool:
    """A folder of content-addressed files.

    Args:
        root: the folder; made if missing, mode 0700.
        min_free_bytes: below this free space nothing is taken, so that the disk never runs full.
    """

    def __init__(self, root: Path, *, min_free_bytes: int) -> None:
        self.root = root
        self.min_free_bytes = min_free_bytes

    def path(self, content_sha256: str) -> Path:
        """Return where the object with this hash lies; two levels, so that no folder grows too large."""
        return self.root / content_sha256[:2] / f"{content_sha256}.dcm"

    def store(self, content_sha256: str, parts: Sequence[bytes | memoryview]) -> Path:
        """Make an object durable; does nothing if it is there, whole. A damaged file is written anew.

        Args:
            content_sha256: 64 hex digits.
            parts: the file's bytes in pieces, so that a large data set is not copied; the last one is the data set.

        Returns:
            The path; the file is whole and on the disk.

        Raises:
            SpoolError: if the disk is full or nearly so, or the folder cannot be written.
        """
        path = self.path(content_sha256)
        try:
            self._make_folder(path.parent)
            if not (_touch(path) and _ends_with(path, parts[-1])):
                self.require_space(sum(len(part) for part in parts))
                _write(path, parts)
            sync(path.parent)  # also for a file that another process has renamed just now
        except OSError as error:
            raise SpoolError(f"spool: {error.strerror}: free space or mend the folder, then send again") from error
        return path

    def set_aside(self, content_sha256: str) -> None:
        """Rename a file that does not hold what its name says, so that the object can be stored anew.

        Raises:
            OSError: if the folder cannot be written.
        """
        path = self.path(content_sha256)
        path.rename(path.with_suffix(".damaged"))

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        for level in (self.root, folder):  # parents that mkdir makes by itself would not get the mode
            level.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync(level.parent)

    def free_bytes(self) -> int | None:
        """Return how much space is free; None if there is no spool here."""
        return shutil.disk_usage(self.root).free if self.root.is_dir() else None

    def require_space(self, size: int) -> None:
        """Check that an object of this many bytes fits and leaves the free space that is to be kept.

        Raises:
            SpoolError: if it does not, or the folder cannot be made.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            free = shutil.disk_usage(self.root).free
        except OSError as error:
            raise SpoolError(f"spool: {error.strerror}: mend the folder {self.root}") from error
        if free - size < self.min_free_bytes:
            raise SpoolError(
                f"spool: {free} bytes free, {self.min_free_bytes} are kept free: free space, then send again"
            )


def _touch(path: Path) -> bool:
    """Tell whether a file is there, and keep it from being taken away as too old just now (see `leftovers`)."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _ends_with(path: Path, data_set: bytes | memoryview) -> bool:
    """Tell whether a file still holds what its name says; who sends again may do so because ours is damaged."""
    expected, position = memoryview(data_set), 0
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - len(expected), 0))
            while read := file.read(_COMPARED_BYTES):
                if read != expected[position : position + len(read)]:
                    return False
                position += len(read)
    except FileNotFoundError:  # taken away just now
        return False
    return position == len(expected)


def _write(path: Path, parts: Sequence[bytes | memoryview]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            # A disk that is too full says so before the first byte, and with all blocks known beforehand ext4 takes
            # a third of the processor time and half the time for a film of 10 MB.
            os.posix_fallocate(file.fileno(), 0, sum(len(part) for part in parts))
            for part in parts:
                _write_all(file.fileno(), memoryview(part))
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
