"""Writing a version directory: fp16 weights and a card with figures measured on exactly those weights."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from dicom_io.phantom import self_test_pixels
from training.certifying import Judged, measured, operating_point, score, score_in_served_precisions, unpromising_point
from training.config import Recipe
from training.errors import DataError
from training.films import Films, join_films
from training.outputs import writing_to
from training.provenance import Provenance
from training.scope_fitting import fit_gate
from worker.model.architectures import ARCHITECTURES, single_output
from worker.model.artifact import (
    CARD_NAME,
    SCOPE_NAME,
    WEIGHTS_NAME,
    DataSource,
    ModelCard,
    OperatingPoint,
    SelfTest,
    save_card,
)
from worker.model.input_spec import InputSpec
from worker.model.network import Network

_SELF_TEST_TOLERANCE = 0.05


def publish(
    state: dict[str, Tensor],
    recipe: Recipe,
    training: dict[str, Films],
    calibration: Judged,
    others: tuple[Judged, ...],
    directory: Path,
) -> ModelCard:
    """Write weights and card.

    Args:
        state: the backbone's state dict, in its own names; of two outputs the difference is published.
        recipe: how it was trained.
        training: the films it was trained on, by the name of their source in the recipe's card.
        calibration: films of patients outside the training that have chosen nothing yet; they choose threshold and
            temperature, and with all others the gate.
        others: further sets to report on.
        directory: made where absent; its model is replaced.

    Returns:
        The card as written.

    Raises:
        CannotCertifyError: if the calibration patients are too few for the recipe's promise.
        DataError: if a weight does not fit into fp16.
        OutputError: if the directory cannot be written.
    """
    weights = half_precision(single_output(state, ARCHITECTURES[recipe.architecture]))
    network = _network(weights, recipe)
    logits, margin = score_in_served_precisions(network, calibration.films.pixels)
    point = _operating_point(logits, calibration, recipe, margin)
    measurements = [measured(calibration, logits, point)]
    measurements += [measured(judged, score(network, judged.films.pixels), point) for judged in others]
    statistics, gate = fit_gate(join_films([*training.values(), calibration.films, *(each.films for each in others)]))
    blob = save(weights)
    card = ModelCard(
        weights_sha256=hashlib.sha256(blob).hexdigest(),
        weights_precision="float16",
        architecture=recipe.architecture,
        input_spec=InputSpec(),
        operating_point=point,
        scope=gate,
        measurements=tuple(measurements),
        data=tuple(_source(recipe.card, name, films) for name, films in training.items()),
        recipe=recipe.identity,
        self_test=_self_test(network),
        **recipe.card.model_dump(exclude={"sources"}),
    )
    with writing_to(directory):
        directory.mkdir(parents=True, exist_ok=True)
        (directory / CARD_NAME).unlink(missing_ok=True)  # last to come, so that a half-written model has none
        (directory / WEIGHTS_NAME).write_bytes(blob)
        (directory / SCOPE_NAME).write_bytes(statistics.encode())
        save_card(card, directory)
    return card


def _operating_point(logits: NDArray[np.float32], calibration: Judged, recipe: Recipe, margin: float) -> OperatingPoint:
    if recipe.threshold != "certified":
        return unpromising_point(logits, calibration, method=recipe.threshold, target=recipe.target_sensitivity)
    return operating_point(
        logits, calibration, target=recipe.target_sensitivity, confidence=recipe.confidence, margin=margin
    )


def half_precision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Round weights to fp16.

    Raises:
        DataError: if one becomes infinite.
    """
    halves = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in state.items()
    }
    for name, tensor in halves.items():
        if not torch.isfinite(tensor).all():
            raise DataError(f"weight {name} does not fit into fp16; lower the learning rate or raise the weight decay")
    return halves


def _network(weights: dict[str, Tensor], recipe: Recipe) -> Network:
    network = Network(InputSpec(), recipe.architecture)
    network.backbone.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return network


def _source(provenance: Provenance, name: str, films: Films) -> DataSource:
    stated = provenance.source(name)
    return DataSource(
        name=name,
        images=len(films),
        patients=len(np.unique(films.patients)),
        sha256=films.sha256,
        licence=stated.licence,
        attribution=stated.attribution,
        source=stated.source,
    )


def _self_test(network: Network) -> SelfTest:
    pixels = self_test_pixels()
    logit = score(network, pixels[None])
    return SelfTest(
        pixels_sha256=hashlib.sha256(pixels.tobytes()).hexdigest(),
        logit=round(float(logit[0]), 5),
        tolerance=_SELF_TEST_TOLERANCE,
    )
