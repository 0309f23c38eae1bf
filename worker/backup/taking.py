"""Taking a back-up of what lies on this host: database, then models, then received files.

In this order, for each names the next: whatever the copy of the database names was on the disk before it. What came in
meanwhile is in the spool and not in the database, which is harmless: `cxr-triage spool` finds it.
"""

import shutil
import uuid
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from dicom_io.durability import sync
from worker.backup.copies import copy_file, is_whole_model, model_directories, received_files
from worker.backup.database_copy import copy_database, database_file
from worker.backup.manifest import DATABASE_NAME, MODELS_NAME, SPOOL_NAME, CopiedDatabase, Manifest, write_manifest
from worker.errors import BackupError
from worker.settings import Settings


def take_backup(settings: Settings, directory: Path, now: datetime, *, with_spool: bool) -> Manifest:
    """Make a folder with everything that this host must not lose; it appears whole or not at all.

    Args:
        settings: where everything lies; it is not copied.
        directory: a folder that does not exist or is empty, outside data_dir.
        now: present time.
        with_spool: whether the received files are copied, too.

    Raises:
        BackupError: if the folder cannot take a back-up, or the database cannot be copied.
        OSError: if it cannot be written.
    """
    directory = directory.absolute()
    _require_place(settings, directory)
    aside = directory.with_name(f".{directory.name}.{uuid.uuid4().hex}")
    aside.mkdir(mode=0o700)
    try:
        manifest = _fill(settings, aside, now, with_spool=with_spool)
        write_manifest(manifest, aside)
        sync(aside)
        aside.rename(directory)  # onto an empty folder at most
        sync(directory.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return manifest


def _require_place(settings: Settings, directory: Path) -> None:
    if directory.is_dir() and any(directory.iterdir()):
        raise BackupError(f"{directory}: not empty: name a new folder")
    if not directory.parent.is_dir():
        raise BackupError(f"{directory.parent}: no such folder: make it, or mount its disk")
    if directory.resolve().is_relative_to(settings.data_dir.resolve()):
        raise BackupError(f"{directory}: lies in data_dir, and would be lost with it: name a folder on another disk")


def _fill(settings: Settings, aside: Path, now: datetime, *, with_spool: bool) -> Manifest:
    database = _copy_database(settings, aside)
    whole, damaged = _copy_models(settings.models_dir, aside / MODELS_NAME)
    return Manifest(
        created_at=now,
        version=version("cxr-triage"),
        database=database,
        models=whole,
        damaged_models=damaged,
        received_files=_copy_received(settings.spool_dir, aside / SPOOL_NAME) if with_spool else None,
    )


def _copy_database(settings: Settings, aside: Path) -> CopiedDatabase | None:
    file = database_file(settings)
    return None if file is None else copy_database(file, aside / DATABASE_NAME)


def _copy_models(models: Path, target: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    whole: list[str] = []
    damaged: list[str] = []
    for directory in model_directories(models):
        copy = target / directory.name
        for file in sorted(directory.iterdir()):
            copy_file(file, copy / file.name)
        if is_whole_model(copy):
            whole.append(copy.name)
        else:
            damaged.append(copy.name)
            shutil.rmtree(copy, ignore_errors=True)
    return tuple(whole), tuple(damaged)


def _copy_received(spool: Path, target: Path) -> int:
    return sum(copy_file(file.path, target / file.path.relative_to(spool)) for file in received_files(spool))
