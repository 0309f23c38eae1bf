"""What a back-up holds: `backup.json`, written last, so that a folder without it is none."""

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from dicom_io.durability import sync
from worker.errors import BackupError

MANIFEST_NAME = "backup.json"
DATABASE_NAME = "cxr-triage.sqlite"
MODELS_NAME = "models"
SPOOL_NAME = "spool"


class CopiedDatabase(BaseModel):
    """The copy of an SQLite database.

    Attributes:
        sha256: of the file, 64 hex digits.
        level: of its schema.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    level: str


class Manifest(BaseModel):
    """What lies in a back-up.

    Attributes:
        created_at: when the copying began; what came later need not be in it.
        version: of cxr-triage that made it.
        database: None where the database is a server's, which has tools of its own.
        models: SHA-256 of each model's card.
        damaged_models: those whose files on this host were not whole, and were left out.
        received_files: how many were copied; None if they were left out as wished.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    kind: Literal["cxr-triage/backup/1"] = "cxr-triage/backup/1"
    created_at: datetime
    version: str
    database: CopiedDatabase | None
    models: tuple[str, ...]
    damaged_models: tuple[str, ...]
    received_files: int | None


def write_manifest(manifest: Manifest, directory: Path) -> None:
    """Write it durably.

    Raises:
        OSError: if it cannot be written.
    """
    path = directory / MANIFEST_NAME
    path.write_text(json.dumps(manifest.model_dump(mode="json"), indent=1) + "\n")
    sync(path)


def read_manifest(directory: Path) -> Manifest:
    """Read it, and compare the database with it.

    Raises:
        BackupError: if the folder holds no whole back-up.
    """
    path = directory / MANIFEST_NAME
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise BackupError(
            f"{directory}: no back-up: it has no {MANIFEST_NAME}, which `cxr-triage backup` writes last"
        ) from None
    except (ValidationError, OSError):
        raise BackupError(f"{path}: damaged, or of another version of cxr-triage: take an earlier back-up") from None
    if manifest.database is not None and manifest.database.sha256 != file_sha256(directory / DATABASE_NAME):
        raise BackupError(
            f"{directory / DATABASE_NAME}: not the file that {MANIFEST_NAME} names: take an earlier back-up"
        )
    return manifest


def file_sha256(path: Path) -> str | None:
    """Return a file's hash, 64 hex digits; None if there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None
