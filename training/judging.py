"""Scoring labelled films with a published model, and writing down how good it is."""

import csv
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.appraisal import Appraisal, appraise
from training.auditing import Audit
from training.cases import Case
from training.certifying import Judged
from training.comparing import Contender, compare, require_comparable, require_enough
from training.datasets import find_parts, source_name
from training.errors import DataError
from training.films import Films, Unreadable, load_films, without_duplicates, write_unreadable
from training.loop import evaluate
from training.outputs import write_whole, writing_to
from training.report.inputs import ReportInputs
from training.report.page import write_report
from training.report.progress import History
from worker.model.artifact import ModelCard, OperatingPoint, load_card
from worker.model.input_spec import InputSpec
from worker.model.network import Network, load_network
from worker.model.promotion import Promotion

METRICS_NAME = "metrics.json"
SCORES_NAME = "scores.csv"
PROMOTION_NAME = "promotion.json"
LEDGER_NAME = "ledger.jsonl"


def evaluate_model(
    model: Path,
    data: Path,
    output: Path,
    device: torch.device,
    advance: Callable[[], None],
    *,
    split: str | None = None,
) -> tuple[Appraisal, list[Unreadable]]:
    """Write `metrics.json`, `scores.csv`, the report with its figures and, where there are any, `unreadable.csv`.

    Args:
        model: version directory.
        data: class folders, a CSV manifest or an archive.
        output: folder, made where absent.
        device: where to score.
        advance: called after each film read.
        split: the part that is judged; by default `test` where the data are divided, or their only part.

    Returns:
        All that is said of the model, and the films that could not be read and are in none of it.

    Raises:
        ModelError: if the model is damaged.
        DataError: if the data cannot be used, or the model's answer on a film is no number.
        OutputError: if something cannot be written.
    """
    card = load_card(model)
    part, cases = evaluated_part(data, split)
    with writing_to(output):
        output.mkdir(parents=True, exist_ok=True)  # an hour of scoring comes before the first file
    films, unreadable = load_films(cases, card.input_spec, advance)
    judged = Judged(part, films)
    appraisal = write_evaluation(
        model, judged, output, device, title=f"{card.name} {card.version} on {source_name(data)}"
    )
    write_unreadable(unreadable, output)
    return appraisal, unreadable


def write_evaluation(
    model: Path,
    judged: Judged,
    output: Path,
    device: torch.device,
    *,
    title: str,
    history: History | None = None,
    audit: Audit | None = None,
    training: Films | None = None,
) -> Appraisal:
    """Score films, and write `metrics.json`, `scores.csv` and the report with its figures.

    Args:
        model: version directory.
        judged: the films.
        output: folder.
        device: where to score.
        title: of the report.
        history: of the run that made the model.
        audit: of the data that it was made from.
        training: films of other patients, for the floor's nearest neighbour.

    Raises:
        ModelError: if the model is damaged.
        DataError: if the model's answer on a film is no number.
        OutputError: if something cannot be written.
    """
    card, films = load_card(model), judged.films
    network = load_network(model, card).to(device)
    logits = evaluate(network, films.pixels, device, card.input_spec.size, mixed=False)
    inputs = ReportInputs(
        title=title,
        cases=judged.cases,
        appraisal=appraise(logits, films, card.operating_point, training),
        films=films,
        logits=logits,
        point=card.operating_point,
        description=card.description,
        card=card,
        history=history,
        audit=audit,
        maps=lambda rows: activation_maps(network, films.pixels[rows], device),
    )
    with writing_to(output):
        (output / METRICS_NAME).write_text(inputs.appraisal.model_dump_json(indent=2) + "\n")
        _write_scores(output / SCORES_NAME, films, logits, card.operating_point)
        write_report(output, inputs)
    return inputs.appraisal


def evaluated_part(data: Path, split: str | None = None) -> tuple[str, list[Case]]:
    """List the films that a model is judged on, and name them.

    Args:
        data: class folders, a CSV manifest or an archive.
        split: part of divided data; by default `test`, or the only one there is.

    Raises:
        DataError: if the data cannot be used, have no such part, have several and none is `test`, or a patient is in
            two parts of a manifest.
    """
    parts = find_parts(data)
    named = split or ("test" if "test" in parts else next(iter(parts)))
    if named not in parts or (split is None and named != "test" and len(parts) > 1):
        raise DataError(f"{data} is divided into {', '.join(parts)}: name one of these with --split")
    return f"{source_name(data)}, part {named}" if len(parts) > 1 else source_name(data), parts[named]


def judge_promotion(
    champion: Path,
    challenger: Path,
    data: Path,
    output: Path,
    device: torch.device,
    *,
    judged_at: datetime,
    ledger: Path | None = None,
) -> Promotion:
    """Write `promotion.json`, and a line in the ledger for this opening of the locked cases.

    The ledger's line comes before any figure is computed: cases that were looked at count as opened, whatever comes
    after.

    Args:
        champion: version directory of the model in service.
        challenger: version directory of the model that would replace it.
        data: the locked cases: class folders, a CSV manifest or an archive.
        output: folder, made where absent; its promotion.json is replaced.
        device: where to score.
        judged_at: now.
        ledger: file that grows by a line; None: `ledger.jsonl` in the folder.

    Raises:
        ModelError: if a model is damaged.
        DataError: if the data cannot be used or are too few, a film cannot be read, or a model's answer is no number.
        OutputError: if something cannot be written.
    """
    cards = [load_card(champion), load_card(challenger)]
    if cards[0].input_spec.sha256 != cards[1].input_spec.sha256:
        raise DataError("the two models prepare films differently; compare them on scores of their own evaluations")
    films, book = locked_films(data, cards[0].input_spec), ledger or output / LEDGER_NAME
    with writing_to(output):
        output.mkdir(parents=True, exist_ok=True)
        book.touch()  # an hour of scoring comes before its line
    before = Contender(cards[0], score(champion, cards[0], films, device))
    after = Contender(cards[1], score(challenger, cards[1], films, device))
    require_comparable(before, after, films)
    opened = {"opened_at": judged_at.isoformat(), "cases_sha256": films.cases_sha256}
    with writing_to(output), book.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(opened | {"models": [card.sha256 for card in cards]}) + "\n")
    promotion = compare(before, after, films, judged_at=judged_at)
    with writing_to(output):
        write_whole(output / PROMOTION_NAME, promotion.model_dump_json(indent=2) + "\n")
    return promotion


def locked_films(data: Path, spec: InputSpec) -> Films:
    """Read the cases that judge two models, identical pictures once.

    Args:
        data: class folders, a CSV manifest or an archive.
        spec: preparation of both models.

    Raises:
        DataError: if the data cannot be used, a film cannot be read, a picture has both labels, or there are fewer than
            two of a class.
    """
    films, unreadable = load_films(evaluated_part(data)[1], spec)
    if unreadable:
        raise DataError(f"{len(unreadable)} films cannot be read, first: {unreadable[0].name}; mend the locked set")
    first = dict(zip(films.hashes[::-1].tolist(), films.labels[::-1].tolist(), strict=True))
    if len(torn := films.names[[first[key] != label for key, label in zip(films.hashes, films.labels, strict=True)]]):
        raise DataError(f"the picture of {torn[0]} is there with both labels; mend the locked set")
    films = without_duplicates(films)
    require_enough(films)
    return films


def score(model: Path, card: ModelCard, films: Films, device: torch.device) -> NDArray[np.float32]:
    """Score films as the service does: fp32, at the card's size."""
    network = load_network(model, card).to(device)
    return evaluate(network, films.pixels, device, card.input_spec.size, mixed=False)


def activation_maps(network: Network, pixels: NDArray[np.uint8], device: torch.device) -> NDArray[np.float32]:
    """Compute where a network sees evidence on a few films.

    Args:
        network: on the device, ready to score.
        pixels: uint8 (n, size, size).
        device: where the network lies.

    Returns:
        float32 (n, h, w), in units of the logit.
    """
    with torch.inference_mode():
        maps: NDArray[np.float32] = network(torch.from_numpy(pixels).to(device))[1].cpu().numpy()
    return maps


def _write_scores(path: Path, films: Films, logits: NDArray[np.float32], point: OperatingPoint) -> None:
    rows = zip(films.names.tolist(), films.labels.tolist(), logits.tolist(), strict=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("path", "label", "logit", "probability"))
        table.writerows((name, label, logit, point.probability(logit)) for name, label, logit in rows)
