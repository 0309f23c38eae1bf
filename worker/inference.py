"""Scoring prepared films with a model artifact; the only module of the service that runs the network."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dicom_io.phantom import self_test_pixels
from worker.errors import ConfigurationError, ModelError
from worker.model.artifact import ModelCard, load_card
from worker.model.fusing import fuse
from worker.model.network import Network, load_network
from worker.model.scope import ScopeStatistics, load_scope


@dataclass(frozen=True, slots=True)
class Scores:
    """What the network says of a batch.

    Attributes:
        logits: float32 (N,), before the sigmoid and the temperature.
        scope_distances: float32 (N,), how far each film lies from the films the model was made from.
        activation_maps: float16 (N, h, w), in units of the logit: 7x7 at 224 pixels, 14x14 of a baseline-cnn; mean plus
            bias is the logit.
    """

    logits: NDArray[np.float32]
    activation_maps: NDArray[np.float16]
    scope_distances: NDArray[np.float32]


class Engine:
    """A loaded model. It keeps no state between calls.

    Attributes:
        card: the model's card, with the threshold.
        device: where it runs.
    """

    def __init__(self, card: ModelCard, network: Network, scope: ScopeStatistics, device: torch.device) -> None:
        self.card = card
        self._scope = scope
        self.device = device
        self._network: nn.Module = network.to(device)

    def fuse(self) -> None:
        """Prepare for many films: on a CPU about a second now, and a third less processor time for each film.

        Raises:
            ModelError: if the fused network does not pass the card's self test.
        """
        if self.device.type == "cpu" and isinstance(self._network, Network):
            self._network = fuse(self._network, self.card.input_spec.size)
        require_self_test(self)

    def score(self, pixels: NDArray[np.uint8]) -> Scores:
        """Score prepared films in one forward pass, in fp32: the precision that the threshold was chosen in.

        Args:
            pixels: uint8 (N, size, size) from `worker.model.preprocessing.prepare`, size as in the card's input spec.

        Raises:
            ModelError: if dtype or shape are others.
        """
        self._check(pixels)
        batch = torch.from_numpy(np.array(pixels)).to(self.device)  # np.array: pixels from SQL are read-only
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            logits, maps = self._network(batch)
        return Scores(logits.cpu().numpy(), maps.cpu().numpy().astype(np.float16), self._scope.distances(pixels))

    def _check(self, pixels: NDArray[np.uint8]) -> None:
        size = self.card.input_spec.size
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[1:] != (size, size):
            raise ModelError(
                f"the model takes uint8 films of shape (N, {size}, {size}), got {pixels.dtype} {pixels.shape}; "
                "prepare them with worker.model.preprocessing.prepare and the card's input spec"
            )


def load_engine(directory: Path, *, device: str = "auto") -> Engine:
    """Load a model artifact and put it on a device.

    Args:
        directory: a version directory, checked by its hashes.
        device: `auto` (CUDA where there is one, else the CPU), `cpu`, `cuda` or `cuda:N`.

    Raises:
        ModelError: if the artifact is absent, damaged or of another shape.
        ConfigurationError: if there is no such device.
    """
    where = _device(device)
    card = load_card(directory)
    return Engine(card, load_network(directory, card), load_scope(directory, card), where)


def require_self_test(engine: Engine) -> None:
    """Ask a model for its answer to the drawn phantom.

    Raises:
        ModelError: if it is not the one that the card states.
    """
    pixels, expected = self_test_pixels(), engine.card.self_test
    if hashlib.sha256(pixels.tobytes()).hexdigest() != expected.pixels_sha256:
        raise ModelError(
            f"model {engine.card.version}: its self test is of another version of cxr-triage; publish it again"
        )
    logit = float(engine.score(pixels[np.newaxis]).logits[0])
    if not abs(logit - expected.logit) <= expected.tolerance:  # so that no number is refused, too
        raise ModelError(
            f"model {engine.card.version} answers its self test with {logit:.3f} instead of {expected.logit:.3f}: the "
            "weights are not those that the card was written for, or this host computes wrongly; publish the model "
            "again, or take the host out of service"
        )


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigurationError(f"device: {name!r} is no device; use auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigurationError(f"device: {name} is not there; use auto or cpu, or mend the NVIDIA driver")
    return device
