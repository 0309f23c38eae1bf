"""Where a run stands and how fast it learns there, read from its history, so that a resumed one goes on alike. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from training.config import Phase, Recipe

Row = dict[str, float]
_FLOOR = 1e-3  # a learning rate never falls below this share of the highest
_LOWER = 1e-4  # by so much, relatively, a loss must fall to count as lower


@dataclass(frozen=True, slots=True)
class Place:
    """An epoch to be done: the phase, and the epoch within it, both counted from 0."""

    phase: int
    epoch: int


def next_place(recipe: Recipe, history: Sequence[Row]) -> Place | None:
    """Return the epoch that follows, or None where the run is done.

    Args:
        recipe: phases and early stopping.
        history: one row per epoch done, with `phase` and `selection_loss`.
    """
    for number, phase in enumerate(recipe.phases):
        losses = _losses(history, number)
        if len(losses) < phase.epochs and not _has_stalled(losses, recipe.early_stopping):
            return Place(number, len(losses))
    return None


def phase_of(recipe: Recipe, place: Place) -> Phase:
    """Return the phase that an epoch belongs to."""
    return recipe.phases[place.phase]


def learning_rate(recipe: Recipe, place: Place, within: float, history: Sequence[Row]) -> float:
    """Return the learning rate of a step.

    Args:
        recipe: schedule and rates.
        place: the epoch.
        within: share of the epoch's steps that are done, in [0, 1].
        history: rows of the epochs done; only `plateau` looks at them.
    """
    phase = phase_of(recipe, place)
    highest = phase.learning_rate or recipe.learning_rate
    if recipe.schedule == "one-cycle":
        before = sum(earlier.epochs for earlier in recipe.phases[: place.phase])
        return highest * _one_cycle((before + place.epoch + within) / recipe.epochs, recipe.warmup)
    if recipe.schedule == "cosine":
        return highest * _cosine((place.epoch + within) / phase.epochs)
    if recipe.schedule == "plateau":
        return highest * recipe.plateau_factor ** _plateaus(_losses(history, place.phase), recipe.plateau_patience)
    return highest


def _one_cycle(progress: float, warmup: float) -> float:
    return max(progress / warmup, _FLOOR) if progress < warmup else _cosine((progress - warmup) / (1 - warmup))


def _cosine(progress: float) -> float:
    return max(0.5 * (1 + math.cos(math.pi * progress)), _FLOOR)


def _losses(history: Sequence[Row], phase: int) -> list[float]:
    return [row["selection_loss"] for row in history if row["phase"] == phase]


def _has_stalled(losses: Sequence[float], patience: int | None) -> bool:
    return patience is not None and len(losses) > patience and min(losses[-patience:]) >= min(losses[:-patience])


def _plateaus(losses: Sequence[float], patience: int) -> int:
    """How often the loss did not fall for more than `patience` epochs, as torch's ReduceLROnPlateau counts."""
    lowest, waited, count = math.inf, 0, 0
    for loss in losses:
        lower = loss < lowest * (1 - _LOWER)
        lowest, waited = (loss, 0) if lower else (lowest, waited + 1)
        if waited > patience:
            waited, count = 0, count + 1
    return count
