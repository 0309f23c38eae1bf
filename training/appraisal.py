"""All that is said of a model on a set of films: figures, groups, other thresholds, and the floor. Pure."""

import numpy as np
from numpy.typing import NDArray

from training.alternatives import Threshold, thresholds_of
from training.evaluation import Metrics, measure
from training.films import Films
from training.floor import Floor, dumb_floor
from training.subgroups import Subgroup, subgroups_of
from worker.model.artifact import OperatingPoint


class Appraisal(Metrics):
    """What `metrics.json` of an evaluation says.

    Attributes:
        subgroups: by age, view and source.
        thresholds: the model's own beside others.
        floor: what shortcuts that know nothing of the lungs reach on the same films.
    """

    subgroups: tuple[Subgroup, ...]
    thresholds: tuple[Threshold, ...]
    floor: Floor


def appraise(
    logits: NDArray[np.float32], films: Films, point: OperatingPoint, training: Films | None = None
) -> Appraisal:
    """Compute it.

    Args:
        logits: (N,), of the films.
        films: at least one.
        point: the model's threshold and temperature.
        training: films of other patients, for the floor's nearest neighbour; None leaves it out.

    Raises:
        DataError: if a logit is no finite number.
    """
    metrics = measure(logits, films.labels, films.patients, point)
    return Appraisal(
        **dict(metrics),
        subgroups=subgroups_of(logits, films, point),
        thresholds=thresholds_of(logits, films, point),
        floor=dumb_floor(films, training),
    )
