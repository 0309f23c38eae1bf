"""Staying current: the champion goes on learning from new cases, and is judged before anybody may promote it."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import torch
from pydantic import ValidationError

from training.config import Recipe
from training.errors import DataError
from training.fitting import MODEL_NAME, epoch_films, fit
from training.initial import initial_weights
from training.judging import LEDGER_NAME, PROMOTION_NAME, judge_promotion, locked_films
from training.parts import Parts, Steps, Tell, read_parts
from training.provenance import Provenance, Source
from worker.model.artifact import ModelCard, load_card
from worker.model.promotion import Promotion

_LIMIT = "Trained further by an unattended run on cases of the site; nobody has looked at its figures yet."


def refresh(
    champion: Path,
    recipe: Recipe,
    output: Path,
    device: torch.device,
    *,
    data: Sequence[Path],
    old: Sequence[Path],
    locked: Path,
    judged_at: datetime,
    tell: Tell,
    steps: Steps,
    site: str = "refreshed",
    smoke: bool = False,
) -> tuple[Path, Promotion]:
    """Continue from the champion, certify the result, and compare both on locked cases; promotes nothing.

    Every champion with its cases, locked ones included, and site has a folder of its own: a run that was broken goes on
    there, and one that was judged is not judged again, as every opening of the locked cases wears them out.

    Args:
        champion: version directory of the model in service.
        recipe: how to continue.
        output: folder; gets the run's folder, and a line in `ledger.jsonl`.
        device: where.
        data: new labelled cases.
        old: earlier cases, mixed in against forgetting.
        locked: cases that judge; their patients stay out of the training and of the threshold.
        judged_at: now.
        tell: told how the run goes.
        steps: progress of a named stretch of work.
        site: becomes part of the version.
        smoke: a few steps on a few films.

    Returns:
        The run's folder with `model/` and `promotion.json`, and the judgement.

    Raises:
        TrainingError: as `fit` and `judge_promotion`; that the new cases are too few, or the locked ones of no use, is
            told before anything is trained.
        ModelError: if the champion is damaged.
    """
    recipe = recipe.smoke() if smoke else recipe
    card = load_card(champion)
    cases = locked_films(locked, card.input_spec).cases_sha256
    parts = read_parts(data, [locked], recipe, tell, steps, old=old, smoke=smoke)
    _require_a_batch(parts, recipe)
    name, weights = initial_weights(recipe, model=champion, imagenet=None, tell=tell)
    recipe = recipe.starting_from(name).model_copy(update={"card": _card(card, recipe, site)})
    folder = output / run_name(recipe, parts, card, cases, site)
    if judged := judged_before(folder, tell):
        tell(f"nothing new: {folder} was made from the same model and cases and has been judged")
        return folder, judged
    fit(parts, recipe, folder, device, tell, steps, initial=weights)
    ledger = output / LEDGER_NAME
    return folder, judge_promotion(
        champion, folder / MODEL_NAME, locked, folder, device, judged_at=judged_at, ledger=ledger
    )


def run_name(recipe: Recipe, parts: Parts, champion: ModelCard, cases_sha256: str, site: str) -> str:
    """Name the folder of a run after everything that its model and its judgement depend on.

    Args:
        recipe: how, the weights it starts from included.
        parts: the films of the run.
        champion: card of the model in service.
        cases_sha256: identity of the locked cases.
        site: part of the version.
    """
    key = json.dumps([recipe.identity, parts.sha256, champion.sha256, cases_sha256, site])
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def judged_before(folder: Path, tell: Tell) -> Promotion | None:
    """Return the judgement in a run's folder; None where there is none, or a damaged one, which is told."""
    path = folder / PROMOTION_NAME
    if not path.exists():
        return None
    try:
        return Promotion.model_validate_json(path.read_bytes())
    except ValidationError:
        tell(f"{path} is damaged: judging again")
        return None


def _require_a_batch(parts: Parts, recipe: Recipe) -> None:
    films = len(epoch_films(parts, recipe, 0))
    if films < recipe.batch_size:
        raise DataError(
            f"the new cases and their share of old ones make {films} training films, less than one batch of "
            f"{recipe.batch_size}: wait for more new cases"
        )


def _card(champion: ModelCard, recipe: Recipe, site: str) -> Provenance:
    """What the champion's card states holds for its successor, but for the description and one more limit."""
    sources = {
        source.name: Source(licence=source.licence, attribution=source.attribution, source=source.source)
        for source in champion.data
    }
    return Provenance(
        name=champion.name,
        version=f"{champion.version.partition('+')[0]}+{site}",
        description=f"Provisional: {champion.name} {champion.version}, trained further on new cases.",
        licence=champion.licence,
        intended_use=champion.intended_use,
        intended_ages=champion.intended_ages,
        limits=(*(limit for limit in champion.limits if limit != _LIMIT), _LIMIT),
        sources=recipe.card.sources | sources,
    )
