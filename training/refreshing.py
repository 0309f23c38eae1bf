"""Staying current: the champion goes on learning from new cases, and is judged before anybody may promote it."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import torch

from training.config import Recipe
from training.fitting import MODEL_NAME, fit
from training.initial import initial_weights
from training.judging import judge_promotion
from training.parts import Steps, Tell, read_parts
from worker.model.promotion import Promotion


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
    smoke: bool = False,
) -> Promotion:
    """Continue from the champion, certify the result, and compare both on locked cases; promotes nothing.

    Args:
        champion: version directory of the model in service.
        recipe: how to continue.
        output: folder; gets `model/`, `promotion.json` and a line in `ledger.jsonl`.
        device: where.
        data: new labelled cases.
        old: earlier cases, mixed in against forgetting.
        locked: cases that judge; their patients stay out of the training and of the threshold.
        judged_at: now.
        tell: told how the run goes.
        steps: progress of a named stretch of work.
        smoke: a few steps on a few films.

    Raises:
        TrainingError: as `fit` and `judge_promotion`.
        ModelError: if the champion is damaged.
    """
    recipe = recipe.smoke() if smoke else recipe
    parts = read_parts(data, [locked], recipe, tell, steps, old=old, smoke=smoke)
    name, weights = initial_weights(recipe, model=champion, imagenet=None, tell=tell)
    fit(parts, recipe.starting_from(name), output, device, tell, steps, initial=weights)
    return judge_promotion(champion, output / MODEL_NAME, locked, output, device, judged_at=judged_at)
