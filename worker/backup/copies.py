"""Copying models and received files: neither ever changes under its name, so files may be copied while in use."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from dicom_io.durability import sync
from dicom_io.errors import TruncatedDataError
from dicom_io.identity import content_sha256
from dicom_io.leftovers import Leftover, files, folders
from worker.errors import ModelError
from worker.model_store import check_directory


def copy_file(source: Path, target: Path) -> bool:
    """Copy a file, flushed and renamed; one that is there stays.

    Returns:
        False if the source is gone, which retention may take away at any time.

    Raises:
        OSError: if it cannot be read or written.
    """
    if target.exists():
        return True
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    begun = target.with_name(f".{target.name}.copy")
    try:
        shutil.copyfile(source, begun)
    except FileNotFoundError:
        begun.unlink(missing_ok=True)
        return False
    sync(begun)
    begun.rename(target)
    sync(target.parent)
    return True


def model_directories(root: Path) -> list[Path]:
    """Return the models of a host or a back-up, in order."""
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def is_whole_model(directory: Path) -> bool:
    """Tell whether every file of a model is the one that its card names, and the folder's name the card's hash."""
    try:
        return check_directory(directory).sha256 == directory.name
    except ModelError:
        return False


def received_files(spool: Path) -> Iterator[Leftover]:
    """List the whole files of a spool or its copy."""
    for folder in folders(spool):
        yield from (file for file in files(folder) if file.whole)


def is_whole_file(file: Leftover) -> bool:
    """Tell whether a received file holds what its name says; reads it."""
    try:
        return content_sha256(file.path) == file.content_sha256
    except (TruncatedDataError, OSError):
        return False
