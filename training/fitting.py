"""A whole run: read the films, divide them, train, keep checkpoints, publish the version directory."""

import csv
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from training.cases import CLASSES
from training.certifying import Judged
from training.checkpoints import Run, resume, save_checkpoint
from training.config import Recipe
from training.datasets import find_cases, source_name
from training.errors import DataError
from training.evaluation import auc
from training.films import Films, join_films, load_films, split_films
from training.loop import evaluate, new_run, train_one_epoch
from training.publishing import publish
from worker.model.artifact import ModelCard
from worker.model.input_spec import InputSpec
from worker.model.network import Network

MODEL_NAME = "model"
HISTORY_NAME = "history.csv"
_NETWORK_PREFIX = "backbone."

Tell = Callable[[str], None]  # a line for the person who waits
# Opens a stretch of work by its name and number of steps; gives what is to be called after each.
Steps = Callable[[str, int], AbstractContextManager[Callable[[], None]]]


@dataclass(frozen=True, slots=True)
class Parts:
    """The films of a run, by the name of their source.

    Attributes:
        training, validation: divided by patient.
    """

    training: dict[str, Films]
    validation: dict[str, Films]


def read_parts(data: Sequence[Path], kept_out: Sequence[Path], recipe: Recipe, tell: Tell, steps: Steps) -> Parts:
    """Read all sources and divide their patients, duplicates across sources included.

    Args:
        data: class folders (their `train` part, where they are divided), manifests or archives.
        kept_out: data whose patients stay out of the run.
        recipe: seed and share of the division.
        tell: told what cannot be read.
        steps: progress of a named stretch of work.

    Raises:
        DataError: if nothing can be read, or a part lacks a class.
    """
    barred = sorted({case.patient for folder in kept_out for case in find_cases(folder)})
    sources = [source_name(path) for path in data]
    if len(set(sources)) < len(sources):
        raise DataError(f"two data sets have the same folder name ({', '.join(sources)}); rename one")
    films = join_films([_read(path, tell, steps) for path in data])
    train, validation = split_films(films, share=recipe.validation_share, seed=recipe.seed, kept_out=barred)
    for part, use in ((train, "training"), (validation, "validation")):
        _require_both_classes(part, use)
    return Parts(_by_source(train, sources), _by_source(validation, sources))


def fit(parts: Parts, recipe: Recipe, output: Path, device: torch.device, tell: Tell, steps: Steps) -> ModelCard:
    """Train, and publish `output/model`; continues from `output`'s checkpoint where there is one.

    Raises:
        DivergedError: if the loss is no number; the last checkpoint stays.
        CheckpointError: if the checkpoint is damaged, of another run, or cannot be written.
        CannotCertifyError: if the validation patients are too few for the recipe's promise.
    """
    output.mkdir(parents=True, exist_ok=True)
    train, validation = join_films(list(parts.training.values())), join_films(list(parts.validation.values()))
    run = new_run(recipe, InputSpec(), device)
    if resume(run, recipe, train.sha256, output):
        tell(f"continuing after epoch {run.epoch}")
    while run.epoch < recipe.epochs:
        with steps(f"epoch {run.epoch + 1}/{recipe.epochs}", len(train) // recipe.batch_size) as advance:
            loss = train_one_epoch(run, train, recipe, device, advance)
        _close_epoch(run, recipe, loss, validation, device)
        save_checkpoint(run, recipe, train.sha256, output)
        _write_history(run, output)
        tell(f"epoch {run.epoch}: loss {loss:.4f}, validation AUC {run.history[-1]['validation_auc']:.4f}")
    return publish_run(run, recipe, parts, output / MODEL_NAME)


def publish_run(run: Run, recipe: Recipe, parts: Parts, directory: Path) -> ModelCard:
    """Write the version directory of a run, finished or not, from its averaged weights.

    The threshold is chosen on the first source's validation films; every other source is reported.
    """
    weights = {
        name.removeprefix(_NETWORK_PREFIX): tensor.cpu()
        for name, tensor in run.average.items()
        if name.startswith(_NETWORK_PREFIX)
    }
    first, *others = [Judged(f"{name}: held-out patients", films) for name, films in parts.validation.items()]
    measurable = tuple(judged for judged in others if len(np.unique(judged.films.labels)) == len(CLASSES))
    return publish(weights, recipe, parts.training, first, measurable, directory)


def _read(path: Path, tell: Tell, steps: Steps) -> Films:
    cases = find_cases(path, "train")
    with steps(f"reading {source_name(path)}", len(cases)) as advance:
        films, unreadable = load_films(cases, InputSpec(), advance)
    for film in unreadable:
        tell(f"left out, cannot be read: {film.name} ({film.cause})")
    return replace(films, names=np.char.add(f"{source_name(path)}/", films.names))


def _require_both_classes(films: Films, use: str) -> None:
    for label, name in enumerate(CLASSES):
        if not (films.labels == label).any():
            raise DataError(f"no {name} film is left for {use}; add films of more {name} patients")


def _by_source(films: Films, sources: Sequence[str]) -> dict[str, Films]:
    rows = {source: films.sources == source for source in sources}
    return {source: films.take(mine) for source, mine in rows.items() if mine.any()}


def _close_epoch(run: Run, recipe: Recipe, loss: float, validation: Films, device: torch.device) -> None:
    size = recipe.size_of_epoch(run.epoch)
    run.epoch += 1
    averaged = Network(InputSpec()).to(device)
    averaged.load_state_dict(run.average)
    logits = evaluate(averaged, validation.pixels, device, size, mixed=True)
    figure = auc(logits, validation.labels)
    run.history.append(
        {"epoch": run.epoch, "size": size, "loss": loss, "validation_auc": float("nan") if figure is None else figure}
    )


def _write_history(run: Run, output: Path) -> None:
    with (output / HISTORY_NAME).open("w", newline="") as file:
        rows = csv.DictWriter(file, fieldnames=list(run.history[0]))
        rows.writeheader()
        rows.writerows(run.history)
