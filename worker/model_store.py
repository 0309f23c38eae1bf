"""Where a model's files lie on this host.

A model that the site put in service lies in `data_dir/models/<SHA-256 of its card>`, because the directory that it was
promoted from may go away; the one that ships lies in the package. Every host has its own copy.
"""

import hashlib
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from dicom_io.durability import sync
from worker.domain import ModelReference
from worker.errors import ConfigurationError, ModelError
from worker.model.artifact import CARD_NAME, SCOPE_NAME, WEIGHTS_NAME, ModelCard, default_directory, load_card

_FILES = (CARD_NAME, WEIGHTS_NAME, SCOPE_NAME)


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model whose files on this host are whole."""

    card: ModelCard
    directory: Path


@dataclass(frozen=True, slots=True)
class ModelStore:
    """The model directories of this host, below `root`, beside the one in the package."""

    root: Path

    def find(self, reference: ModelReference) -> InstalledModel:
        """Return a model with its files; reads them whole.

        Raises:
            ConfigurationError: if this host has none of them.
            ModelError: if they are damaged.
        """
        directory = self._directory(reference.sha256)
        if not directory.is_dir():
            raise ConfigurationError(
                f"this host has no files of model {reference.name} {reference.version} ({reference.sha256}): bring its "
                "directory here and run `cxr-triage models add DIR`; if it came with cxr-triage, install that version"
            )
        card = check_directory(directory)
        if card.sha256 != reference.sha256:
            raise ModelError(f"{directory} holds another model; run `cxr-triage models add DIR` with a whole copy")
        return InstalledModel(card, directory)

    def install(self, source: Path) -> InstalledModel:
        """Copy a version directory to its place; one that is there and whole stays.

        The copy is made aside, flushed and renamed, so that no reader ever finds half of it.

        Raises:
            ModelError: if the source is damaged or incomplete.
            OSError: if it cannot be written.
        """
        card = check_directory(source)
        directory = self._directory(card.sha256)
        if not _is_whole(directory, card.sha256):
            directory = self.root / card.sha256
            self._copy(source, directory)
        return InstalledModel(card, directory)

    def keep(self, model: InstalledModel) -> None:
        """Copy a model of the package to the store as well, where an upgrade of the package leaves it.

        Raises:
            OSError: if it cannot be written.
        """
        kept = self.root / model.card.sha256
        if not _is_whole(kept, model.card.sha256):
            self._copy(model.directory, kept)

    def _directory(self, sha256: str) -> Path:
        shipped = default_directory()
        return shipped if _card_sha256(shipped) == sha256 else self.root / sha256

    def _copy(self, source: Path, directory: Path) -> None:
        # Readable by all inside data_dir, which is its user's only: who promotes need not be who serves.
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o755)
        aside = self.root / f".{uuid.uuid4().hex}"
        aside.mkdir()
        try:
            aside.chmod(0o755)
            for name in _FILES:
                _copy_durably(source / name, aside / name)
            sync(aside)
            check_directory(aside)
            if directory.exists():
                directory.rename(aside.with_suffix(".damaged"))
            aside.rename(directory)
            sync(self.root)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            shutil.rmtree(aside.with_suffix(".damaged"), ignore_errors=True)


def check_directory(directory: Path) -> ModelCard:
    """Check every file of a version directory by its hash; needs neither torch nor safetensors.

    Raises:
        ModelError: if one is absent, unreadable or not the one that the card names.
    """
    card = load_card(directory)
    try:
        found = _sha256(directory / SCOPE_NAME)
    except OSError as error:
        raise ModelError(f"cannot read {error.filename} ({error.strerror}); copy the model directory again") from None
    if found != card.scope.statistics_sha256:
        raise ModelError(
            f"{directory / SCOPE_NAME} is not the file that the card names; copy the model directory again"
        )
    return card


def _is_whole(directory: Path, sha256: str) -> bool:
    try:
        return check_directory(directory).sha256 == sha256
    except ModelError:
        return False


def _card_sha256(directory: Path) -> str | None:
    try:
        return _sha256(directory / CARD_NAME)
    except OSError:
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy_durably(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o644)
    sync(target)
