"""Scoring prepared films with a model artifact; the only module of the service that runs the network."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from worker.device import Launched, Runner, Tell, find_device
from worker.errors import ModelError
from worker.model.artifact import ModelCard, load_card
from worker.model.network import Network, load_network
from worker.model.scope import ScopeStatistics, load_scope
from worker.model.served import ServedNetwork
from worker.precision import DTYPES, Precision, are_near, are_too_far_apart, choose_precision


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


def _say_nothing(event: str, **values: object) -> None:
    del event, values


class Engine:
    """A loaded model; many threads may use it at once.

    One thread of its own works on the device, batch after batch, so that the caller can load the next one meanwhile.
    Where it computes in bf16, it decides as in fp32: a film near the threshold is scored again in fp32, and if the two
    ever lie farther apart than the margin allows for, this model is served in fp32 from then on.

    Attributes:
        card: the model's card, with the threshold.
        device: where it runs.
        precision: what it computes in now.
    """

    def __init__(
        self,
        card: ModelCard,
        network: Network,
        scope: ScopeStatistics,
        device: torch.device,
        precision: Precision = "fp32",
        tell: Tell = _say_nothing,
    ) -> None:
        self.card = card
        self.device = device
        self.precision = precision
        self._scope = scope
        self._tell = tell
        self._exact = Runner(ServedNetwork(network), device, tell)
        self._fast = self._exact
        if precision != "fp32":
            self._fast = Runner(ServedNetwork(network, DTYPES[precision]), device, tell)
        self._thread = ThreadPoolExecutor(1, "network")

    def start(self, pixels: NDArray[np.uint8]) -> "Pending":
        """Begin to score prepared films and return at once; they must not change until the result is there.

        Args:
            pixels: uint8 (N, size, size) from `worker.model.preprocessing.prepare`, size as in the card's input spec.

        Raises:
            ModelError: if dtype or shape are others.
        """
        self._check(pixels)
        runner = self._fast
        return Pending(self, pixels, self._thread.submit(runner.launch, pixels), runner is self._exact)

    def score(self, pixels: NDArray[np.uint8]) -> Scores:
        """Score prepared films: `start`, and the result's `result`, with the errors of both."""
        return self.start(pixels).result()

    def measure_distances(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return how far films, uint8 (N, size, size), lie from those the model was made from; float32 (N,)."""
        return self._scope.distances(pixels)

    def decide(
        self, pixels: NDArray[np.uint8], logits: NDArray[np.float32], maps: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Replace what bf16 says of films near the threshold by what fp32 says; of all, if bf16 was given up meanwhile.

        Raises:
            DeviceLostError: if the device failed.
        """
        if self._fast is self._exact:
            return self._exact.launch(pixels).wait()
        near = are_near(logits, self.card.operating_point.threshold_logit)
        if near.any():
            exact_logits, exact_maps = self._exact.launch(pixels[near]).wait()
            if are_too_far_apart(logits[near], exact_logits):
                return self._give_up_bf16(pixels)
            logits[near], maps[near] = exact_logits, exact_maps
        return logits, maps

    def _give_up_bf16(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self._fast, self.precision = self._exact, "fp32"
        self._tell("bf16-given-up", version=self.card.version, sha256=self.card.sha256)
        return self._exact.launch(pixels).wait()

    def _check(self, pixels: NDArray[np.uint8]) -> None:
        size = self.card.input_spec.size
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[1:] != (size, size):
            raise ModelError(
                f"the model takes uint8 films of shape (N, {size}, {size}), got {pixels.dtype} {pixels.shape}; "
                "prepare them with worker.model.preprocessing.prepare and the card's input spec"
            )


@dataclass
class Pending:
    """Films whose scores are being computed; `exact` is whether in fp32."""

    engine: Engine
    pixels: NDArray[np.uint8]
    launched: "Future[Launched]"
    exact: bool

    def wait(self) -> None:
        """Return when the device is through with them, and has nothing to do unless more was started.

        Raises:
            DeviceLostError: if the device failed.
            RuntimeError: if one film alone does not fit into its memory.
        """
        self.launched.result().wait()

    def result(self) -> Scores:
        """Return the scores, as soon as they are there.

        Raises:
            DeviceLostError: if the device failed.
            RuntimeError: if one film alone does not fit into its memory.
        """
        distances = self.engine.measure_distances(self.pixels)  # while the device computes
        logits, maps = self.launched.result().wait()
        if not self.exact:
            logits, maps = self.engine.decide(self.pixels, logits, maps)
        return Scores(logits, maps.astype(np.float16), distances)


def load_engine(directory: Path, *, device: str = "auto", precision: str = "fp32", tell: Tell = _say_nothing) -> Engine:
    """Load a model artifact and put it on a device.

    Args:
        directory: a version directory, checked by its hashes.
        device: `auto` (CUDA where there is one, else the CPU), `cpu`, `cuda` or `cuda:N`.
        precision: `fp32`, `bf16`, or `auto`: bf16 where the device has instructions for it.
        tell: is told when batches are halved or bf16 is given up.

    Raises:
        ModelError: if the artifact is absent, damaged or of another shape.
        ConfigurationError: if there is no such device.
    """
    where = find_device(device)
    card = load_card(directory)
    network, scope = load_network(directory, card), load_scope(directory, card)
    return Engine(card, network, scope, where, choose_precision(precision, where), tell)
