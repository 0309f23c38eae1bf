"""Scoring labelled films with a published model, and writing down how good it is."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.datasets import find_cases
from training.evaluation import Metrics, measure
from training.films import Films, Unreadable, load_films
from training.loop import evaluate
from worker.model.artifact import ModelCard, OperatingPoint, load_card
from worker.model.network import load_network

METRICS_NAME = "metrics.json"
SCORES_NAME = "scores.csv"
UNREADABLE_NAME = "unreadable.csv"


def evaluate_model(
    model: Path, data: Path, output: Path, device: torch.device, advance: Callable[[], None]
) -> tuple[Metrics, list[Unreadable]]:
    """Write `metrics.json`, `scores.csv` and, where there are any, `unreadable.csv`.

    Args:
        model: version directory.
        data: class folders, a CSV manifest or an archive; a part named `test` where they are divided.
        output: folder, made where absent.
        device: where to score.
        advance: called after each film read.

    Returns:
        The figures, and the films that could not be read and are in none of them.

    Raises:
        ModelError: if the model is damaged.
        DataError: if the data cannot be used.
    """
    card = load_card(model)
    films, unreadable = load_films(find_cases(data, _evaluated_split(data)), card.input_spec, advance)
    logits = score(model, card, films, device)
    metrics = measure(logits, films.labels, films.patients, card.operating_point)
    output.mkdir(parents=True, exist_ok=True)
    (output / METRICS_NAME).write_text(metrics.model_dump_json(indent=2) + "\n")
    _write_scores(output / SCORES_NAME, films, logits, card.operating_point)
    if unreadable:
        _write_table(output / UNREADABLE_NAME, ("path", "cause"), [(film.name, film.cause) for film in unreadable])
    return metrics, unreadable


def score(model: Path, card: ModelCard, films: Films, device: torch.device) -> NDArray[np.float32]:
    """Score films as the service does: fp32, at the card's size."""
    network = load_network(model, card).to(device)
    return evaluate(network, films.pixels, device, card.input_spec.size, mixed=False)


def _evaluated_split(data: Path) -> str | None:
    return "test" if data.is_dir() else None


def _write_scores(path: Path, films: Films, logits: NDArray[np.float32], point: OperatingPoint) -> None:
    rows = zip(films.names.tolist(), films.labels.tolist(), logits.tolist(), strict=True)
    table = [(name, label, logit, point.probability(logit)) for name, label, logit in rows]
    _write_table(path, ("path", "label", "logit", "probability"), table)


def _write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(header)
        table.writerows(rows)
