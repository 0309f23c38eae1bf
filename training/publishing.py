"""Writing a version directory: fp16 weights and a card with figures measured on exactly those weights."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from dicom_io.phantom import self_test_pixels
from training.config import Recipe
from training.errors import DataError
from training.evaluation import SENSITIVITIES, Metrics, measure
from training.films import Films
from training.loop import evaluate
from training.provenance import Provenance
from training.thresholds import certify, fit_temperature, patient_scores
from worker.model.artifact import (
    WEIGHTS_NAME,
    DataSource,
    Measurement,
    ModelCard,
    OperatingPoint,
    SelfTest,
    save_card,
)
from worker.model.input_spec import InputSpec
from worker.model.network import Network

_SELF_TEST_TOLERANCE = 0.05
_LEAST_MARGIN = 1e-3  # other processors sum in another order
_SCORED_ALONE = 16  # films scored in batches of one as well


@dataclass(frozen=True, slots=True)
class Judged:
    """A named set of films that the card reports on."""

    cases: str
    films: Films


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
        state: the network's state dict, in torchvision's names.
        recipe: how it was trained.
        training: the films it was trained on, by the name of their source in the recipe's card.
        calibration: films of patients outside the training that have chosen nothing yet; they choose the threshold.
        others: further sets to report on.
        directory: made where absent; its model is replaced.

    Returns:
        The card as written.

    Raises:
        CannotCertifyError: if the calibration patients are too few for the recipe's promise.
        DataError: if a weight does not fit into fp16.
    """
    weights = half_precision(state)
    network = _network(weights)
    logits, margin = score_in_served_precisions(network, calibration.films.pixels)
    point = operating_point(logits, calibration, recipe, margin)
    measured = [_measurement(calibration, logits, point)]
    measured += [_measurement(judged, _score(network, judged.films.pixels), point) for judged in others]
    directory.mkdir(parents=True, exist_ok=True)
    blob = save(weights)
    card = ModelCard(
        weights_sha256=hashlib.sha256(blob).hexdigest(),
        weights_precision="float16",
        architecture="resnet50",
        input_spec=InputSpec(),
        operating_point=point,
        measurements=tuple(measured),
        data=tuple(_source(recipe.card, name, films) for name, films in training.items()),
        recipe=recipe.identity,
        self_test=_self_test(network),
        **recipe.card.model_dump(exclude={"sources"}),
    )
    (directory / WEIGHTS_NAME).write_bytes(blob)
    save_card(card, directory)
    return card


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


def operating_point(logits: NDArray[np.float32], calibration: Judged, recipe: Recipe, margin: float) -> OperatingPoint:
    """Certify the recipe's promise on the calibration films and take the precision margin off the threshold.

    Raises:
        CannotCertifyError: if the patients are too few.
    """
    films = calibration.films
    scores = patient_scores(logits, films.labels, films.patients)
    certificate = certify(scores, target=recipe.target_sensitivity, confidence=recipe.confidence)
    return OperatingPoint(
        threshold_logit=certificate.threshold_logit - margin,
        temperature=fit_temperature(logits, films.labels),
        target_sensitivity=certificate.target,
        confidence=certificate.confidence,
        method="clopper-pearson-order-statistic",
        unit="patient",
        positives=certificate.positives,
        allowed_misses=certificate.allowed_misses,
        lower_bound=certificate.lower_bound,
        precision_margin=margin,
        chosen_on=calibration.cases,
    )


def score_in_served_precisions(network: Network, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], float]:
    """Score as served: fp32 on the CPU in batches and one by one, and on CUDA where there is one.

    Returns:
        Logits of the batches, and the largest difference of any other way from them, at least `_LEAST_MARGIN`.
    """
    single = np.concatenate([_score(network, film[None]) for film in pixels[:_SCORED_ALONE]])
    others = [single, _score(network, pixels, "cuda")] if torch.cuda.is_available() else [single]
    logits = _score(network, pixels)  # last, so that the network is left on the CPU
    return logits, max(_LEAST_MARGIN, *(float(np.abs(other - logits[: len(other)]).max()) for other in others))


def _network(weights: dict[str, Tensor]) -> Network:
    network = Network(InputSpec())
    network.backbone.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return network


def _measurement(judged: Judged, logits: NDArray[np.float32], point: OperatingPoint) -> Measurement:
    films = judged.films
    return as_measurement(judged.cases, measure(logits, films.labels, films.patients, point))


def _score(network: Network, pixels: NDArray[np.uint8], device: str = "cpu") -> NDArray[np.float32]:
    where = torch.device(device)
    return evaluate(network.to(where), pixels, where, InputSpec().size, mixed=False)


def as_measurement(cases: str, metrics: Metrics) -> Measurement:
    """Reduce the figures to what the card says.

    Raises:
        DataError: if the films are of one class only.
    """
    at = {f"{s:.2f}": metrics.specificity_at_sensitivity[f"{s:.2f}"] for s in SENSITIVITIES}
    if metrics.auc is None or metrics.sensitivity is None or metrics.specificity is None:
        raise DataError(f"{cases}: both classes are needed to measure a model")
    return Measurement(
        cases=cases,
        images=metrics.n,
        positives=metrics.positives,
        patients=metrics.patients,
        auc=round(metrics.auc, 5),
        sensitivity=round(metrics.sensitivity, 5),
        specificity=round(metrics.specificity, 5),
        intervals={name: (round(low, 5), round(high, 5)) for name, (low, high) in metrics.intervals.items()},
        specificity_at_sensitivity={key: round(value, 5) for key, value in at.items() if value is not None},
    )


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
    logit = _score(network, pixels[None])
    return SelfTest(
        pixels_sha256=hashlib.sha256(pixels.tobytes()).hexdigest(),
        logit=round(float(logit[0]), 5),
        tolerance=_SELF_TEST_TOLERANCE,
    )
