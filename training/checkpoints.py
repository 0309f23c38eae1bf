"""Checkpoints of a run: written whole or not at all, read without unpickling."""

import json
import os
import pickle
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.config import Recipe
from training.errors import CheckpointError
from training.schedule import Row
from worker.model.network import Network

CHECKPOINT_NAME = "checkpoint.pt"
_KEYS = {"identity", "network", "optimizer", "average", "best", "step", "history"}


@dataclass(slots=True)
class Run:
    """A training run between two epochs.

    Attributes:
        network: being trained, on the run's device.
        optimizer: its own.
        average: moving average of the network's state dict; what ships, unless `best` is kept.
        best: the average after the best epoch so far, where the recipe keeps it; else empty.
        step: optimiser steps done.
        history: one row of figures per epoch.
    """

    network: Network
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor]
    best: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    history: list[Row] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

    @property
    def published(self) -> dict[str, Tensor]:
        """The weights that are published: of the best epoch where it is kept, else the average."""
        return self.best or self.average


def save_checkpoint(run: Run, recipe: Recipe, data_sha256: str, folder: Path) -> None:
    """Replace the folder's checkpoint in one rename.

    Raises:
        CheckpointError: if it cannot be written; the previous one is untouched.
    """
    state = {
        "identity": _identity(recipe, data_sha256),
        "network": run.network.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "average": run.average,
        "best": run.best,
        "step": run.step,
        "history": json.dumps(run.history),
    }
    temporary = folder / f"{CHECKPOINT_NAME}.tmp"
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / CHECKPOINT_NAME)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise CheckpointError(
            f"cannot write {folder / CHECKPOINT_NAME} ({error}); free some space and resume"
        ) from None


def resume(run: Run, recipe: Recipe, data_sha256: str, folder: Path) -> bool:
    """Continue from the folder's checkpoint, if there is one.

    Args:
        run: a fresh run of the recipe; changed in place.
        recipe: must be that of the checkpoint, as must the data.
        data_sha256: hash of the training films.
        folder: where the checkpoint lies.

    Returns:
        Whether there was one.

    Raises:
        CheckpointError: if it is damaged or of another recipe or other data.
    """
    path = folder / CHECKPOINT_NAME
    if not path.exists():
        return False
    state = _load(path)
    if state["identity"] != _identity(recipe, data_sha256):
        raise CheckpointError(f"{path} belongs to another recipe or other data; choose another --output or delete it")
    run.network.load_state_dict(state["network"])
    run.optimizer.load_state_dict(state["optimizer"])
    for name, tensor in run.average.items():
        tensor.copy_(state["average"][name])
    run.best, run.step, run.history = state["best"], state["step"], json.loads(state["history"])
    return True


def _load(path: Path) -> dict[str, Any]:
    """Read a checkpoint; torch does not look at the checksums that it wrote."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        state = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is damaged ({type(error).__name__}); delete it to begin again") from None
    if not isinstance(state, dict) or state.keys() != _KEYS:
        raise CheckpointError(f"{path} is damaged, or no checkpoint of a run; delete it to begin again")
    return state


def _identity(recipe: Recipe, data_sha256: str) -> str:
    return f"{recipe.identity} {data_sha256}"
