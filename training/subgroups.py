"""The same figures among patients of one age, films of one view, films of one source. Pure."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from training.evaluation import auc, flagged, recall
from training.films import Films
from training.intervals import Interval, delong_interval, exact_interval
from worker.model.artifact import OperatingPoint

_AGE_BANDS = (
    ("under 1 year", 0.0, 1.0),
    ("1 to 5 years", 1.0, 6.0),
    ("6 to 17 years", 6.0, 18.0),
    ("18 to 64 years", 18.0, 65.0),
    ("65 years and over", 65.0, math.inf),
)
_UNKNOWN = "unknown"
_FEW = 20  # films of a class; below, one film is more than five points


class Subgroup(BaseModel):
    """Figures of some of the films, at the model's own threshold; null where they cannot give one.

    Attributes:
        attribute: age, view or source.
        value: which.
        n, positives: films, positive films.
        few: whether a class has fewer than 20 films, too few to tell groups apart.
        auc, auc_interval: within the group, 95 % after DeLong.
        sensitivity, specificity: over films; their intervals 95 % after Clopper and Pearson.
    """

    model_config = ConfigDict(frozen=True)

    attribute: str
    value: str
    n: int
    positives: int
    few: bool
    auc: float | None
    auc_interval: Interval | None
    sensitivity: float | None
    sensitivity_interval: Interval | None
    specificity: float | None
    specificity_interval: Interval | None


def subgroups_of(logits: NDArray[np.float32], films: Films, point: OperatingPoint) -> tuple[Subgroup, ...]:
    """Measure every age band, view and source that occurs; films of which it is unknown are a group of their own.

    Args:
        logits: (N,), finite.
        films: as scored.
        point: threshold.
    """
    flags = flagged(logits, point)
    return tuple(
        _subgroup(attribute, value, logits[rows], films.labels[rows], flags[rows])
        for attribute, value, rows in _groups(films)
    )


def _groups(films: Films) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Attribute, value and rows of every group that has films."""
    yield from (group for group in _age_groups(films.ages) if group[2].any())
    for attribute, values in (("view", films.views), ("source", films.sources)):
        for value in np.unique(values).tolist():
            yield attribute, value or _UNKNOWN, values == value


def _age_groups(ages: NDArray[np.float32]) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    for name, at_least, below in _AGE_BANDS:
        yield "age", name, (ages >= at_least) & (ages < below)
    yield "age", _UNKNOWN, np.isnan(ages)


def _subgroup(
    attribute: str, value: str, logits: NDArray[np.float32], labels: NDArray[np.int64], flags: NDArray[np.bool_]
) -> Subgroup:
    sick, well = labels == 1, labels == 0
    positives, negatives = int(sick.sum()), int(well.sum())
    return Subgroup(
        attribute=attribute,
        value=value,
        n=len(labels),
        positives=positives,
        few=min(positives, negatives) < _FEW,
        auc=auc(logits, labels),
        auc_interval=delong_interval(logits, labels),
        sensitivity=recall(flags, labels, 1),
        sensitivity_interval=exact_interval(int((flags & sick).sum()), positives),
        specificity=recall(flags, labels, 0),
        specificity_interval=exact_interval(int((~flags & well).sum()), negatives),
    )
