"""Putting a back-up in place: received files, then models, the database last.

So a restore that is broken off leaves no database, and may be run again; and no database ever names what is not there.
"""

from dataclasses import dataclass
from pathlib import Path

from worker.backup.copies import copy_file, is_whole_file, is_whole_model, model_directories, received_files
from worker.backup.database_copy import database_file
from worker.backup.manifest import DATABASE_NAME, MODELS_NAME, SPOOL_NAME, Manifest, read_manifest
from worker.errors import BackupError
from worker.settings import Settings


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put in place; damaged received files were left out."""

    manifest: Manifest
    models: int
    received_files: int
    damaged_files: int


def restore_backup(settings: Settings, directory: Path) -> Restored:
    """Put everything of a back-up where the settings say; nothing that lies there is replaced.

    Call it where no service runs on data_dir. The database keeps the level that it had: it is to be migrated.

    Args:
        settings: of the service that is to run on it.
        directory: of `take_backup`.

    Raises:
        BackupError: if the back-up is not whole, is one of another kind of database, or a database lies in its place;
            nothing was changed.
        OSError: if something cannot be written; run it again when that is mended.
    """
    manifest = read_manifest(directory)
    place = _place(settings, manifest)
    models = _whole_models(directory, manifest)
    copied, damaged = _put_received(directory / SPOOL_NAME, settings.spool_dir)
    for model in models:
        _put_model(model, settings.models_dir / model.name)
    if place is not None:
        copy_file(directory / DATABASE_NAME, place)
    return Restored(manifest, len(models), copied, damaged)


def _place(settings: Settings, manifest: Manifest) -> Path | None:
    place = database_file(settings)
    if place is None and manifest.database is not None:
        raise BackupError(
            "the back-up holds an SQLite database, and database_url names a server: take database_url out"
        )
    if place is not None and manifest.database is None:
        raise BackupError("the back-up holds no database: set database_url to the server that `pg_restore` filled")
    if place is not None and place.exists():
        raise BackupError(f"{place} exists: stop the service and move data_dir away, or set another one, then restore")
    return place


def _whole_models(directory: Path, manifest: Manifest) -> list[Path]:
    models = model_directories(directory / MODELS_NAME)
    whole = [model for model in models if is_whole_model(model)]
    lacking = sorted(set(manifest.models) - {model.name for model in whole})
    if lacking:
        raise BackupError(
            f"{directory / MODELS_NAME}: damaged or missing: {', '.join(lacking)}: take an earlier back-up"
        )
    return whole


def _put_received(source: Path, spool: Path) -> tuple[int, int]:
    copied = damaged = 0
    for file in received_files(source):
        if is_whole_file(file):
            copied += copy_file(file.path, spool / file.path.relative_to(source))
        else:
            damaged += 1
    return copied, damaged


def _put_model(source: Path, target: Path) -> None:
    for file in sorted(source.iterdir()):
        copy_file(file, target / file.name)
    # As the model store makes them: who promotes need not be who serves.
    for path in (target.parent, target):
        path.chmod(0o755)
    for file in target.iterdir():
        file.chmod(0o644)
