"""A copy of an SQLite database in use: what was committed at one moment, in one file.

Copying the file itself is wrong: what was committed last lies in the write-ahead log beside it, and pages change under
the copying (https://www.sqlite.org/howtocorrupt.html, section 1.2).
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url

from dicom_io.durability import sync
from worker.backup.manifest import CopiedDatabase, file_sha256
from worker.db import BUSY_TIMEOUT_SECONDS
from worker.errors import BackupError
from worker.settings import Settings


def database_file(settings: Settings) -> Path | None:
    """Return where the SQLite database lies; None if the settings name a server."""
    url = make_url(settings.effective_database_url)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def copy_database(source: Path, target: Path) -> CopiedDatabase:
    """Copy a database while others read and write it; none of them waits.

    Args:
        source: an SQLite database of any level.
        target: a file that does not exist.

    Raises:
        BackupError: if there is none, it is damaged, or the copy cannot be written.
        OSError: if the copy cannot be put on the disk.
    """
    if not source.is_file():
        raise BackupError(f"database: there is no {source}: check data_dir and database_url")
    try:
        level = _copy(source, target)
    except sqlite3.Error as error:
        raise BackupError(f"database: {source} cannot be copied to {target}: {error}") from error
    sync(target)
    return CopiedDatabase(sha256=file_sha256(target) or "", level=level)


def _copy(source: Path, target: Path) -> str:
    address = f"{source.absolute().as_uri()}?mode=rw"  # rw: never makes a database; ro could not open every log
    with (
        closing(sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT_SECONDS)) as original,
        closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy)  # in one step: a copy in several begins anew with every commit in between
        copy.execute("PRAGMA journal_mode=DELETE")  # so that the copy is this one file
        found = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            told = " ".join(found.split())
            raise BackupError(f"database: {source} is damaged ({told}): restore an earlier back-up")
        return str(copy.execute("SELECT version_num FROM alembic_version").fetchone()[0])
