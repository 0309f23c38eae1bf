"""Staying current: the champion goes on learning from new cases, and is judged before anybody may promote it."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import torch
from pydantic import ValidationError

from training.config import Recipe
from training.fitting import MODEL_NAME, fit
from training.initial import initial_weights
from training.judging import LEDGER_NAME, PROMOTION_NAME, judge_promotion, locked_films
from training.parts import Steps, Tell, read_parts
from training.provenance import Provenance, Source
from worker.model.artifact import ModelCard, load_card
from worker.model.input_spec import InputSpec
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

    Every champion with its cases has a folder of its own: a run that was broken goes on there, and one that was judged
    is not judged again, as every opening of the locked cases wears them out.

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
        TrainingError: as `fit` and `judge_promotion`.
        ModelError: if the champion is damaged.
    """
    recipe = recipe.smoke() if smoke else recipe
    parts = read_parts(data, [locked], recipe, tell, steps, old=old, smoke=smoke)
    name, weights = initial_weights(recipe, model=champion, imagenet=None, tell=tell)
    recipe = recipe.starting_from(name).model_copy(update={"card": _card(load_card(champion), recipe, site)})
    folder = output / hashlib.sha256(f"{recipe.identity} {parts.sha256}".encode()).hexdigest()[:12]
    if judged := _judgement(folder / PROMOTION_NAME, locked):
        tell(f"nothing new: {folder} was made from the same model and cases and has been judged")
        return folder, judged
    fit(parts, recipe, folder, device, tell, steps, initial=weights)
    ledger = output / LEDGER_NAME
    return folder, judge_promotion(
        champion, folder / MODEL_NAME, locked, folder, device, judged_at=judged_at, ledger=ledger
    )


def _judgement(path: Path, locked: Path) -> Promotion | None:
    """Return a judgement on these locked cases, if there is one; half a file, or one on others, is none."""
    try:
        judged = Promotion.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return judged if judged.cases_sha256 == locked_films(locked, InputSpec()).sha256 else None


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
