"""Where other rules would put the threshold on the films that are judged, and what each would give. Pure."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from training.errors import CannotCertifyError
from training.evaluation import patients_found, recall
from training.films import Films
from training.thresholds import balanced_threshold, certify, conformal_risk_control, patient_scores
from worker.model.artifact import OperatingPoint

_TARGET, _CONFIDENCE = 0.98, 0.95  # asked for where the model itself promises nothing


class Threshold(BaseModel):
    """A threshold and what it gives on the films that are judged.

    Attributes:
        rule: how it was chosen.
        threshold_logit: flag at and above it; null where the films cannot give it.
        sensitivity, specificity: over films; null without such films.
        patient_sensitivity: share of positive patients whose every positive film is flagged.
        why_not: what is missing, where there is no threshold.
    """

    model_config = ConfigDict(frozen=True)

    rule: str
    threshold_logit: float | None = None
    sensitivity: float | None = None
    specificity: float | None = None
    patient_sensitivity: float | None = None
    why_not: str | None = None


def thresholds_of(logits: NDArray[np.float32], films: Films, point: OperatingPoint) -> tuple[Threshold, ...]:
    """Put the model's own threshold beside those that these films would choose for the same target; 0.98 without one.

    All but the first look at the very films that they are measured on and so flatter themselves.

    Args:
        logits: (N,), finite.
        films: as scored.
        point: the model's own.
    """
    scores = patient_scores(logits, films.labels, films.patients)
    target, confidence = point.target_sensitivity or _TARGET, point.confidence or _CONFIDENCE
    promised = f"certified sensitivity {target:g} at {confidence:g} confidence"
    rules: dict[str, Callable[[], float]] = {
        promised: lambda: certify(scores, target=target, confidence=confidence).threshold_logit,
        f"conformal risk control, sensitivity {target:g} on average": lambda: conformal_risk_control(
            scores, target=target
        ),
    }
    own = _measured("the model's own", point.threshold_logit, logits, films)
    chosen = [_chosen(rule, choose, logits, films) for rule, choose in rules.items()]
    return (own, *chosen, _most_balanced(logits, films))


def _chosen(rule: str, choose: Callable[[], float], logits: NDArray[np.float32], films: Films) -> Threshold:
    try:
        return _measured(rule, choose(), logits, films)
    except CannotCertifyError as error:
        return Threshold(rule=rule, why_not=f"needs {error.needed} positive patients")


def _most_balanced(logits: NDArray[np.float32], films: Films) -> Threshold:
    rule = "highest balanced accuracy (Youden)"
    if len(np.unique(films.labels)) < 2:
        return Threshold(rule=rule, why_not="needs both classes")
    return _measured(rule, balanced_threshold(logits, films.labels), logits, films)


def _measured(rule: str, threshold: float, logits: NDArray[np.float32], films: Films) -> Threshold:
    flags = logits.astype(np.float64) >= threshold
    found, patients = patients_found(flags, films.labels, films.patients)
    return Threshold(
        rule=rule,
        threshold_logit=threshold,
        sensitivity=recall(flags, films.labels, 1),
        specificity=recall(flags, films.labels, 0),
        patient_sensitivity=found / patients if patients else None,
    )
