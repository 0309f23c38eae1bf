"""Weights that others trained on ImageNet: from a file at hand, or torchvision's own download."""

import hashlib
import pickle
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import DenseNet161_Weights, ResNet50_Weights

from training.errors import PretrainedError
from worker.model.architectures import ARCHITECTURES
from worker.model.artifact import ArchitectureName

_OFFERED: dict[ArchitectureName, Any] = {
    "resnet50": ResNet50_Weights.IMAGENET1K_V2,
    "densenet161": DenseNet161_Weights.IMAGENET1K_V1,
}
# torchvision's DenseNet files are older than its names: `norm.1` was a module that is `norm1` now.
_OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(?=[12]\.)")
_SECONDS = 20.0  # a host behind a silent firewall shall not wait for ever


def imagenet_weights(architecture: ArchitectureName, file: Path | None = None) -> tuple[str, dict[str, Tensor]]:
    """Load the parameters of a backbone without its head.

    Args:
        architecture: of the backbone.
        file: `.safetensors`, or a torch file, which is read without unpickling; None: torchvision's download, checked
            against the hash in its name, or its copy in torch's cache.

    Returns:
        Name of the weights with their SHA-256, and the parameters in the backbone's own names.

    Raises:
        PretrainedError: if they cannot be had, are of another network, or are no finite numbers.
    """
    state = _from_file(file) if file else _download(architecture)
    body = _without_head(state, architecture, str(file or _OFFERED[architecture]))
    return f"imagenet {_sha256(body)}", body


def _from_file(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            tensors: dict[str, Tensor] = load_file(file)
            return tensors
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        raise PretrainedError(f"{file} holds no weights ({type(error).__name__}); give another --imagenet") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise PretrainedError(f"{file} holds something else than a state dict; give another --imagenet")
    return state


def _download(architecture: ArchitectureName) -> dict[str, Tensor]:
    if architecture not in _OFFERED:
        raise PretrainedError(f"torchvision offers no ImageNet weights of {architecture}; give --imagenet FILE")
    weights = _OFFERED[architecture]
    try:
        with _time_limit():
            state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise PretrainedError(
            f"torchvision's {weights} cannot be downloaded ({error}); give the file as --imagenet FILE"
        ) from None
    return state


def _without_head(state: dict[str, Tensor], architecture: ArchitectureName, origin: str) -> dict[str, Tensor]:
    """Check names and shapes of everything but the head, whose classes are others."""
    made, state = ARCHITECTURES[architecture], {_OLD_NAME.sub(r"\1", name): state[name] for name in state}
    wanted = {
        name: tensor.shape
        for name, tensor in made.build(1).state_dict().items()
        if tensor.ndim and not name.startswith(f"{made.head}.")  # the counter of batches is no weight
    }
    wrong = [name for name, shape in wanted.items() if name not in state or state[name].shape != shape]
    if wrong:
        raise PretrainedError(
            f"{origin} is no {architecture}: {len(wrong)} of {len(wanted)} parameters are missing or of another shape, "
            f"first: {wrong[0]}; give another --imagenet"
        )
    if unfit := [name for name in wanted if not torch.isfinite(state[name]).all()]:
        raise PretrainedError(f"{origin}: {unfit[0]} holds numbers that are not finite; give another --imagenet")
    return {name: state[name].float() for name in wanted}


def _sha256(state: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def _time_limit() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
