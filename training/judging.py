"""Scoring labelled films with a published model, and writing down how good it is."""

import csv
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.comparing import Contender, compare
from training.datasets import find_cases
from training.errors import DataError
from training.evaluation import Metrics, measure
from training.films import Films, Unreadable, load_films
from training.loop import evaluate
from worker.model.artifact import ModelCard, OperatingPoint, load_card
from worker.model.network import load_network
from worker.model.promotion import Promotion

METRICS_NAME = "metrics.json"
SCORES_NAME = "scores.csv"
PROMOTION_NAME = "promotion.json"
LEDGER_NAME = "ledger.jsonl"
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


def judge_promotion(
    champion: Path, challenger: Path, data: Path, output: Path, device: torch.device, *, judged_at: datetime
) -> Promotion:
    """Write `promotion.json`, and a line in `ledger.jsonl` beside it for this opening of the locked cases.

    The ledger's line comes first: cases that were looked at count as opened, whatever comes after.

    Args:
        champion: version directory of the model in service.
        challenger: version directory of the model that would replace it.
        data: the locked cases: class folders, a CSV manifest or an archive.
        output: folder, made where absent; its ledger grows, its promotion.json is replaced.
        device: where to score.
        judged_at: now.

    Raises:
        ModelError: if a model is damaged.
        DataError: if the data cannot be used, or a film cannot be read.
    """
    cards = [load_card(champion), load_card(challenger)]
    if cards[0].input_spec.sha256 != cards[1].input_spec.sha256:
        raise DataError("the two models prepare films differently; compare them on scores of their own evaluations")
    films, unreadable = load_films(find_cases(data, _evaluated_split(data)), cards[0].input_spec)
    if unreadable:
        raise DataError(f"{len(unreadable)} films cannot be read, first: {unreadable[0].name}; mend the locked set")
    output.mkdir(parents=True, exist_ok=True)
    opened = {"opened_at": judged_at.isoformat(), "cases_sha256": films.sha256, "models": [c.sha256 for c in cards]}
    with (output / LEDGER_NAME).open("a", encoding="utf-8") as ledger:
        ledger.write(json.dumps(opened) + "\n")
    before = Contender(cards[0], score(champion, cards[0], films, device))
    after = Contender(cards[1], score(challenger, cards[1], films, device))
    promotion = compare(before, after, films, judged_at=judged_at)
    (output / PROMOTION_NAME).write_text(promotion.model_dump_json(indent=2) + "\n")
    return promotion


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
