"""Choosing and stating a model's threshold on films outside its training."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from training.errors import DataError
from training.evaluation import SENSITIVITIES, Metrics, measure
from training.films import Films
from training.loop import evaluate
from training.thresholds import balanced_threshold, certify, conformal_risk_control, fit_temperature, patient_scores
from worker.model.artifact import Measurement, OperatingPoint
from worker.model.input_spec import InputSpec
from worker.model.network import Network

_LEAST_MARGIN = 1e-3  # other processors sum in another order
_SCORED_ALONE = 16  # films scored in batches of one as well


@dataclass(frozen=True, slots=True)
class Judged:
    """A named set of films that the card reports on."""

    cases: str
    films: Films


def operating_point(
    logits: NDArray[np.float32], calibration: Judged, *, target: float, confidence: float, margin: float
) -> OperatingPoint:
    """Certify a sensitivity on the calibration films and take the precision margin off the threshold.

    Raises:
        CannotCertifyError: if the patients are too few.
    """
    films = calibration.films
    scores = patient_scores(logits, films.labels, films.patients)
    certificate = certify(scores, target=target, confidence=confidence)
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


def unpromising_point(
    logits: NDArray[np.float32],
    calibration: Judged,
    *,
    method: Literal["conformal-risk-control", "balanced-accuracy", "half"],
    target: float,
) -> OperatingPoint:
    """Choose a threshold as other projects do; it promises nothing with confidence.

    Args:
        logits: (N,), of the calibration films.
        calibration: the films.
        method: a sensitivity of `target` on average over draws of patients, the best balanced accuracy, or a
            probability of one half.
        target: for the first.

    Raises:
        CannotCertifyError: if the patients are too few for the target.
    """
    films = calibration.films
    thresholds: dict[str, Callable[[], float]] = {
        "half": lambda: 0.0,
        "balanced-accuracy": lambda: balanced_threshold(logits, films.labels),
        "conformal-risk-control": lambda: conformal_risk_control(
            patient_scores(logits, films.labels, films.patients), target=target
        ),
    }
    return OperatingPoint(
        threshold_logit=thresholds[method](),
        temperature=fit_temperature(logits, films.labels),
        target_sensitivity=None,
        confidence=None,
        method=method,
        unit="patient",
        positives=len(np.unique(films.patients[films.labels == 1])),
        allowed_misses=None,
        lower_bound=None,
        precision_margin=0.0,
        chosen_on=calibration.cases,
    )


def score_in_served_precisions(network: Network, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], float]:
    """Score as served: fp32 on the CPU in batches and one by one, and on CUDA where there is one.

    Returns:
        Logits of the batches, and the largest difference of any other way from them, at least `_LEAST_MARGIN`.
    """
    single = np.concatenate([score(network, film[None]) for film in pixels[:_SCORED_ALONE]])
    others = [single, score(network, pixels, "cuda")] if torch.cuda.is_available() else [single]
    logits = score(network, pixels)  # last, so that the network is left on the CPU
    return logits, max(_LEAST_MARGIN, *(float(np.abs(other - logits[: len(other)]).max()) for other in others))


def measured(judged: Judged, logits: NDArray[np.float32], point: OperatingPoint) -> Measurement:
    """Measure at an operating point.

    Raises:
        DataError: if the films are of one class only.
    """
    films = judged.films
    return _as_measurement(judged.cases, measure(logits, films.labels, films.patients, point))


def score(network: Network, pixels: NDArray[np.uint8], device: str = "cpu") -> NDArray[np.float32]:
    """Score as served: fp32, whole size; the network is left on the device."""
    where = torch.device(device)
    return evaluate(network.to(where), pixels, where, InputSpec().size, mixed=False)


def _as_measurement(cases: str, metrics: Metrics) -> Measurement:
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
