"""How good a model is on labelled films: figures at its own threshold, with intervals. Pure."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from sklearn.metrics import confusion_matrix, roc_curve

from training.errors import DataError
from training.intervals import Interval, bootstrap_intervals, delong_interval, exact_interval, placements
from training.predictive_values import PredictiveValues, predictive_values
from training.reliability import ReliabilityBin, brier_score, expected_calibration_error, reliability_curve
from worker.model.artifact import OperatingPoint

SENSITIVITIES = (0.95, 0.98, 0.99)


class Confusion(BaseModel):
    """Films by truth and flag."""

    model_config = ConfigDict(frozen=True)

    tp: int
    fp: int
    tn: int
    fn: int


class Metrics(BaseModel):
    """What `metrics.json` says; a figure that the films cannot give is null.

    Attributes:
        n, positives, patients: films, positive films, patients.
        positive_patients: patients with a positive film.
        patient_sensitivity: share of them whose every positive film is flagged, as the certificate counts.
        threshold: the probability at and above which a film is flagged; `threshold_logit` the same as a logit.
        class_collapse: whether nothing is found although there is something to find.
        specificity_at_sensitivity: at the thresholds that these very films give; keys are sensitivities.
        brier, expected_calibration_error, reliability: of the shown probability; the error over 15 bins of equal width.
        predictive_values: at other shares of the sick; empty where a class is missing.
        intervals: 95 %. `auc` after DeLong; `auc_by_patient`, `sensitivity`, `specificity` and `balanced_accuracy`
            from a bootstrap over patients; `patient_sensitivity`, `sensitivity_exact` and `specificity_exact` after
            Clopper and Pearson, which alone have a width where the figure is 0 or 1.
    """

    model_config = ConfigDict(frozen=True)

    n: int
    positives: int
    patients: int
    positive_patients: int
    auc: float | None
    accuracy: float
    sensitivity: float | None
    specificity: float | None
    precision: float | None
    f1: float | None
    balanced_accuracy: float | None
    patient_sensitivity: float | None
    threshold: float
    threshold_logit: float
    confusion: Confusion
    class_collapse: bool
    specificity_at_sensitivity: dict[str, float | None]
    brier: float
    expected_calibration_error: float
    reliability: tuple[ReliabilityBin, ...]
    predictive_values: tuple[PredictiveValues, ...]
    intervals: dict[str, Interval]

    def interval_of(self, name: Literal["sensitivity", "specificity"]) -> Interval | None:
        """Choose one of the two intervals: the bootstrap's, or the exact one at 0 and 1, where all draws agree."""
        return _telling(self.intervals, name, getattr(self, name))


def measure(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    patients: NDArray[np.str_],
    point: OperatingPoint,
    *,
    replicates: int = 1000,
) -> Metrics:
    """Compute every figure.

    Args:
        logits: (N,), N at least 1.
        labels: (N,), 1 for pneumonia.
        patients: (N,), patient keys; the bootstrap draws patients, not films.
        point: threshold and temperature.
        replicates: bootstrap samples.

    Raises:
        DataError: if a logit is no finite number.
    """
    _refuse_what_is_no_number(logits)
    flags = flagged(logits, point)
    table = confusion(flags, labels)
    intervals = _intervals(logits, labels, patients, flags, replicates)
    shown = probabilities(logits, point)
    found, positive_patients = patients_found(flags, labels, patients)
    return Metrics(
        n=len(labels),
        positives=int(labels.sum()),
        patients=len(np.unique(patients)),
        positive_patients=positive_patients,
        auc=auc(logits, labels),
        accuracy=(table.tp + table.tn) / len(labels),
        sensitivity=recall(flags, labels, 1),
        specificity=recall(flags, labels, 0),
        precision=_share(table.tp, table.tp + table.fp),
        f1=_share(2 * table.tp, 2 * table.tp + table.fp + table.fn),
        balanced_accuracy=_balanced(flags, labels),
        patient_sensitivity=_share(found, positive_patients),
        threshold=point.threshold,
        threshold_logit=point.threshold_logit,
        confusion=table,
        class_collapse=table.fn > 0 and table.tp == 0,
        specificity_at_sensitivity={f"{s:.2f}": specificity_at(logits, labels, s) for s in SENSITIVITIES},
        brier=brier_score(shown, labels),
        expected_calibration_error=expected_calibration_error(shown, labels),
        reliability=reliability_curve(shown, labels),
        predictive_values=_predictive_values(flags, labels, intervals),
        intervals=intervals,
    )


def flagged(logits: NDArray[np.float32], point: OperatingPoint) -> NDArray[np.bool_]:
    """Tell of each film whether it is flagged; bool (N,)."""
    return np.array([point.flags(logit) for logit in logits.tolist()], dtype=np.bool_)


def probabilities(logits: NDArray[np.float32], point: OperatingPoint) -> NDArray[np.float64]:
    """Turn logits into the probabilities that are shown; float64 (N,)."""
    return np.array([point.probability(logit) for logit in logits.tolist()], dtype=np.float64)


def confusion(flags: NDArray[np.bool_], labels: NDArray[np.int64]) -> Confusion:
    """Count films by truth and flag."""
    (tn, fp), (fn, tp) = confusion_matrix(labels, flags, labels=(0, 1)).tolist()
    return Confusion(tp=tp, fp=fp, tn=tn, fn=fn)


def recall(flags: NDArray[np.bool_], labels: NDArray[np.int64], label: int) -> float | None:
    """Share of the films of a class that are flagged as they should be; None without such films.

    Args:
        flags: (N,).
        labels: (N,).
        label: 1 for the sensitivity, 0 for the specificity.
    """
    of_class = flags[labels == label]
    return float((of_class == bool(label)).mean()) if len(of_class) else None


def patients_found(flags: NDArray[np.bool_], labels: NDArray[np.int64], patients: NDArray[np.str_]) -> tuple[int, int]:
    """Count the patients whose every positive film is flagged, and all patients with a positive film."""
    sick = labels == 1
    everyone, missed = np.unique(patients[sick]), np.unique(patients[sick & ~flags])
    return len(everyone) - len(missed), len(everyone)


def auc(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float | None:
    """Area under the ROC curve by ranks, ties count half; None where a class is absent.

    By ranks and not by scikit-learn's curve: the same area twenty times faster, which the bootstrap needs.

    Source: Hanley and McNeil, Radiology 143 (1982) 29.
    """
    if len(np.unique(labels)) < 2:
        return None
    return float(placements(logits, labels)[0].mean())


def specificity_at(logits: NDArray[np.float32], labels: NDArray[np.int64], wanted: float) -> float | None:
    """Specificity at the highest threshold whose sensitivity on these films is at least `wanted`."""
    if len(np.unique(labels)) < 2:
        return None
    false_alarms, found, _ = roc_curve(labels, logits, drop_intermediate=False)
    return float(1 - false_alarms[found >= wanted].min())


def _refuse_what_is_no_number(logits: NDArray[np.float32]) -> None:
    wrong = np.flatnonzero(~np.isfinite(logits))
    if len(wrong):
        raise DataError(
            f"the model's answer is no finite number on {len(wrong)} of {len(logits)} films, the first is film "
            f"{wrong[0] + 1}; its weights are damaged or it diverged: take an earlier checkpoint or train it again"
        )


def _intervals(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    patients: NDArray[np.str_],
    flags: NDArray[np.bool_],
    replicates: int,
) -> dict[str, Interval]:
    by_patients = bootstrap_intervals(
        {
            "auc_by_patient": lambda rows: auc(logits[rows], labels[rows]),
            "sensitivity": lambda rows: recall(flags[rows], labels[rows], 1),
            "specificity": lambda rows: recall(flags[rows], labels[rows], 0),
            "balanced_accuracy": lambda rows: _balanced(flags[rows], labels[rows]),
        },
        patients,
        replicates,
    )
    table = confusion(flags, labels)
    others = {
        "auc": delong_interval(logits, labels),
        "sensitivity_exact": exact_interval(table.tp, table.tp + table.fn),
        "specificity_exact": exact_interval(table.tn, table.tn + table.fp),
        "patient_sensitivity": exact_interval(*patients_found(flags, labels, patients)),
    }
    return by_patients | {name: interval for name, interval in others.items() if interval is not None}


def _balanced(flags: NDArray[np.bool_], labels: NDArray[np.int64]) -> float | None:
    of_sick, of_well = recall(flags, labels, 1), recall(flags, labels, 0)
    return None if of_sick is None or of_well is None else (of_sick + of_well) / 2


def _predictive_values(
    flags: NDArray[np.bool_], labels: NDArray[np.int64], intervals: dict[str, Interval]
) -> tuple[PredictiveValues, ...]:
    of_sick, of_well = recall(flags, labels, 1), recall(flags, labels, 0)
    around_sick, around_well = _telling(intervals, "sensitivity", of_sick), _telling(intervals, "specificity", of_well)
    if of_sick is None or of_well is None or around_sick is None or around_well is None:
        return ()
    return predictive_values(of_sick, of_well, around_sick, around_well)


def _telling(intervals: dict[str, Interval], name: str, value: float | None) -> Interval | None:
    return intervals.get(f"{name}_exact" if value in (0, 1) else name)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
