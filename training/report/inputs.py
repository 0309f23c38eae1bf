"""What a report is made from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.appraisal import Appraisal
from training.auditing import Audit
from training.films import Films
from training.report.gallery import Maps
from training.report.progress import History
from worker.model.artifact import ModelCard, OperatingPoint


@dataclass(frozen=True, slots=True, eq=False)
class ReportInputs:
    """A judged model and its films.

    Attributes:
        title: of the page.
        cases: the films, in words.
        appraisal: of the model on the films.
        films: as scored.
        logits: (N,), finite.
        point: threshold and temperature.
        description: of the model, for one without a card.
        card: of a published model.
        history: of the run that made it.
        audit: of the data it was made from.
        maps: where it looked.
    """

    title: str
    cases: str
    appraisal: Appraisal
    films: Films
    logits: NDArray[np.float32]
    point: OperatingPoint
    description: str
    card: ModelCard | None = None
    history: History | None = None
    audit: Audit | None = None
    maps: Maps | None = None
