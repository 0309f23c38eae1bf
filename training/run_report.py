"""The report of a run: how it went, what it made, and what its data are like."""

from pathlib import Path

import numpy as np
import torch

from training.appraisal import Appraisal
from training.auditing import audit
from training.certifying import Judged
from training.films import Films, join_films
from training.judging import write_evaluation
from training.parts import Parts
from training.report.progress import History
from worker.model.artifact import load_card


def report_run(output: Path, model: Path, parts: Parts, history: History, device: torch.device) -> Appraisal:
    """Write the evaluation of a published model on the held-out films of its run, with history and data audit.

    Args:
        output: the run's folder; gets `metrics.json`, `scores.csv`, `report.html` and `figures/`.
        model: version directory.
        parts: the run's films.
        history: one row per epoch.
        device: where to score.

    Raises:
        OutputError: if something cannot be written.
    """
    uses = {"training": parts.training, "selection": parts.selection, "validation": parts.validation, "old": parts.old}
    films = {use: join_films(list(sources.values())) for use, sources in uses.items() if sources}
    card = load_card(model)
    judged = Judged("held-out patients of the run; they also chose the threshold", films["validation"])
    return write_evaluation(
        model,
        judged,
        output,
        device,
        title=f"{card.name} {card.version}: the run",
        history=history,
        audit=audit(join_films(list(films.values())), _names(films), parts.unreadable),
        training=films["training"],
    )


def _names(films: dict[str, Films]) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    return np.repeat(list(films), [len(part) for part in films.values()])
