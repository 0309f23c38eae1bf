"""A whole run: train, keep checkpoints, publish the version directory."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.cases import CLASSES
from training.certifying import Judged
from training.checkpoints import Run, resume, save_checkpoint
from training.config import Recipe
from training.errors import DataError
from training.evaluation import auc
from training.films import Films, join_films, write_unreadable
from training.loop import evaluate, new_run, train_one_epoch
from training.outputs import writing_to
from training.parts import Parts, Steps, Tell
from training.publishing import publish
from training.run_report import report_run
from training.schedule import learning_rate, next_place, phase_of
from training.tensorboard import Board
from training.thresholds import certify, patient_scores
from worker.model.artifact import ModelCard
from worker.model.input_spec import InputSpec
from worker.model.network import Network

if TYPE_CHECKING:
    from training.schedule import Place, Row

MODEL_NAME = "model"
HISTORY_NAME = "history.csv"
_NETWORK_PREFIX = "backbone."


def fit(
    parts: Parts,
    recipe: Recipe,
    output: Path,
    device: torch.device,
    tell: Tell,
    steps: Steps,
    *,
    initial: dict[str, Tensor] | None = None,
    board: Board | None = None,
) -> ModelCard:
    """Train, publish `output/model` and report on it; continues from `output`'s checkpoint where there is one.

    Args:
        parts: the films.
        recipe: how; `recipe.initial` names the weights that the run starts from.
        output: folder, made where absent.
        device: where.
        tell: told how the run goes.
        steps: progress of a named stretch of work.
        initial: parameters of the backbone to start from; None: all random.
        board: where the figures of each epoch are shown too.

    Raises:
        DivergedError: if the loss or its gradient is no number; the last checkpoint stays.
        OSError: if something else than the checkpoint cannot be written.
        CheckpointError: if the checkpoint is damaged, of another run, or cannot be written.
        CannotCertifyError: if the validation patients are too few for the recipe's promise.
        DataError: if the first data set, whose patients certify, has none of a class among them.
        OutputError: if something cannot be written.
    """
    require_certifiable(parts, recipe)
    with writing_to(output):
        output.mkdir(parents=True, exist_ok=True)
        write_unreadable(parts.unreadable, output)
    run = new_run(recipe, InputSpec(), device, initial)
    if resume(run, recipe, parts.sha256, output):
        tell(f"continuing after epoch {run.epoch}")
    while (place := next_place(recipe, run.history)) is not None:
        films = epoch_films(parts, recipe, run.epoch)
        with steps(f"epoch {run.epoch + 1}/{recipe.epochs}", len(films) // recipe.batch_size) as advance:
            loss = train_one_epoch(run, films, recipe, device, advance)
        _close_epoch(run, recipe, place, loss, _watching(parts), device)
        save_checkpoint(run, recipe, parts.sha256, output)
        _write_history(run, output)
        _tell_epoch(run, tell)
        if board:
            board.show(run.history[-1])
    _write_history(run, output)  # again, for a run that was killed before it
    card = publish_run(run, recipe, parts, output / MODEL_NAME)
    report_run(output, output / MODEL_NAME, parts, run.history, device)
    return card


def epoch_films(parts: Parts, recipe: Recipe, epoch: int) -> Films:
    """Return the training films of an epoch: all new ones, and old ones up to their share, others every time.

    Args:
        parts: the films.
        recipe: share of the old films, and the seed of their draw.
        epoch: counted from 0.
    """
    new = join_films(list(parts.training.values()))
    if not parts.old or not recipe.old_share:
        return new
    old = join_films(list(parts.old.values()))
    count = min(len(old), round(len(new) * recipe.old_share / (1 - recipe.old_share)))
    drawn = np.random.default_rng((recipe.seed, epoch)).choice(len(old), count, replace=False)
    return join_films([new, old.take(drawn)])


def publish_run(run: Run, recipe: Recipe, parts: Parts, directory: Path) -> ModelCard:
    """Write the version directory of a run, finished or not, from the weights that it publishes.

    The threshold is chosen on validation films of the first source, or of all; what chose nothing is reported.
    """
    weights = {
        name.removeprefix(_NETWORK_PREFIX): tensor.cpu()
        for name, tensor in run.published.items()
        if name.startswith(_NETWORK_PREFIX)
    }
    first, *others = _judged(parts, recipe)
    measurable = tuple(judged for judged in others if len(np.unique(judged.films.labels)) == len(CLASSES))
    return publish(weights, recipe, {**parts.training, **parts.old}, first, measurable, directory)


def require_certifiable(parts: Parts, recipe: Recipe) -> None:
    """Refuse, before hours of training, films that cannot certify in the end.

    Raises:
        CannotCertifyError: if the positive patients are too few.
        DataError: if the films that choose the threshold lack a class.
    """
    first = next(iter(parts.training))
    certifying = next(iter(_judged(parts, recipe))).films
    if recipe.certify_on == "first" and (first not in parts.validation or len(np.unique(certifying.labels)) < 2):
        raise DataError(f"no held-out films of both classes in {first}, which is to certify; name a larger set first")
    if recipe.threshold == "certified":
        scores = patient_scores(np.zeros(len(certifying), np.float32), certifying.labels, certifying.patients)
        certify(scores, target=recipe.target_sensitivity, confidence=recipe.confidence)


def _judged(parts: Parts, recipe: Recipe) -> list[Judged]:
    """The held-out films, those that choose the threshold first."""
    held_out = {f"{name}: held-out patients": films for name, films in parts.validation.items()}
    if recipe.certify_on == "all":
        held_out = {f"{', '.join(parts.validation)}: held-out patients": join_films(list(parts.validation.values()))}
    (first, certifying), *others = held_out.items()
    chosen = Judged(f"{first}; they also chose threshold and temperature", certifying)
    return [chosen, *(Judged(name, films) for name, films in others)]


def _watching(parts: Parts) -> Films:
    """The films whose figures go into the history; those that certify only where nothing is selected."""
    return join_films(list((parts.selection or parts.validation).values()))


def _close_epoch(run: Run, recipe: Recipe, place: "Place", loss: float, films: Films, device: torch.device) -> None:
    averaged = Network(InputSpec(), recipe.architecture, outputs=recipe.outputs).to(device)
    averaged.load_state_dict(run.average)
    size = phase_of(recipe, place).size
    logits = evaluate(averaged, films.pixels, device, size, mixed=True)
    rate = learning_rate(recipe, place, 1.0, run.history)
    row = {"epoch": run.epoch + 1, "phase": place.phase, "size": size, "learning_rate": rate, "loss": loss}
    figures = _figures(logits, films)
    if recipe.keep_best and figures["selection_auc"] > max([row["selection_auc"] for row in run.history], default=-1):
        run.best = {name: tensor.clone() for name, tensor in run.average.items()}
    run.history.append(row | figures)


def _figures(logits: np.ndarray[tuple[int], np.dtype[np.float32]], films: Films) -> "Row":
    area = auc(logits, films.labels)
    targets = torch.from_numpy(films.labels).float()
    loss = functional.binary_cross_entropy_with_logits(torch.from_numpy(logits), targets)
    return {
        "selection_loss": float(loss),
        "selection_auc": float("nan") if area is None else area,
        "true_positives": float(((logits >= 0) & (films.labels == 1)).sum()),
    }


def _tell_epoch(run: Run, tell: Tell) -> None:
    row = run.history[-1]
    tell(f"epoch {run.epoch}: loss {row['loss']:.4f}, held-out AUC {row['selection_auc']:.4f}")
    if not row["true_positives"]:
        tell("class collapse: at probability one half not one sick patient is found; it may pass, or see class_weights")


def _write_history(run: Run, output: Path) -> None:
    with writing_to(output), (output / HISTORY_NAME).open("w", newline="") as file:
        rows = csv.DictWriter(file, fieldnames=list(run.history[0]))
        rows.writeheader()
        rows.writerows(run.history)
