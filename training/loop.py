"""The training loop: one epoch, and scoring a set."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.augmentation import augment, resize
from training.checkpoints import Run
from training.config import Recipe
from training.errors import DataError, DivergedError
from training.films import Films
from worker.model.input_spec import InputSpec
from worker.model.network import Network


def new_run(recipe: Recipe, spec: InputSpec, device: torch.device) -> Run:
    """Begin a run: weights drawn from the recipe's seed, AdamW without decay of biases and batch norms."""
    torch.manual_seed(recipe.seed)
    network = Network(spec).to(device)
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    return Run(network, torch.optim.AdamW(groups, lr=recipe.learning_rate), average)


def train_one_epoch(
    run: Run, films: Films, recipe: Recipe, device: torch.device, advance: Callable[[], None] = lambda: None
) -> float:
    """Go once over the films in random order; order and augmentation depend on seed and epoch alone.

    Args:
        run: changed in place; its epoch counter and history are the caller's.
        films: training films, at least one batch.
        recipe: how.
        device: where.
        advance: called after each step.

    Returns:
        Mean loss.

    Raises:
        DataError: if there is less than one batch of films.
        DivergedError: if the loss is no finite number.
    """
    steps = len(films) // recipe.batch_size
    if steps == 0:
        raise DataError(f"{len(films)} training films are less than one batch of {recipe.batch_size}; add films")
    dice = torch.Generator().manual_seed(recipe.seed * 1_000_003 + run.epoch)
    order = torch.randperm(len(films), generator=dice)[: steps * recipe.batch_size].numpy()
    size, losses = recipe.size_of_epoch(run.epoch), []
    run.network.train()
    for rows in np.split(order, steps):
        pictures = augment(torch.from_numpy(films.pixels[rows]), size, recipe.augmentation, dice)
        _set_learning_rate(run, recipe, run.step / (steps * recipe.epochs))
        loss = _step(run, pictures.to(device), torch.from_numpy(films.labels[rows]).to(device), recipe)
        losses.append(loss)
        advance()
    return float(np.mean(losses))


def evaluate(
    network: Network, pixels: NDArray[np.uint8], device: torch.device, size: int, *, mixed: bool
) -> NDArray[np.float32]:
    """Score prepared films.

    Args:
        network: set to evaluation mode.
        pixels: uint8 (N, S, S).
        device: where the network lies.
        size: side that the films are shrunk to, pixels.
        mixed: bf16 where it is safe, for a quick look; else fp32, as served.

    Returns:
        Logits, float32 (N,).
    """
    network.eval()
    logits = [np.zeros(0, np.float32)]
    with torch.inference_mode(), _mixed_precision(device, enabled=mixed):
        for start in range(0, len(pixels), 64):
            batch = resize(torch.from_numpy(pixels[start : start + 64]), size).to(device)
            logits.append(network(batch)[0].float().cpu().numpy())
    return np.concatenate(logits)


def learning_rate(recipe: Recipe, progress: float) -> float:
    """One cycle: a linear rise over the warm-up, then half a cosine down to a thousandth.

    Args:
        recipe: highest rate and warm-up.
        progress: share of all steps done, in [0, 1].
    """
    if progress < recipe.warmup:
        return recipe.learning_rate * max(progress / recipe.warmup, 1e-3)
    falling = (progress - recipe.warmup) / (1 - recipe.warmup)
    return recipe.learning_rate * max(0.5 * (1 + math.cos(math.pi * falling)), 1e-3)


def _step(run: Run, pictures: Tensor, labels: Tensor, recipe: Recipe) -> float:
    with _mixed_precision(pictures.device):
        logits = run.network(pictures)[0].float()
    targets = labels.float() * (1 - recipe.label_smoothing) + recipe.label_smoothing / 2
    loss = functional.binary_cross_entropy_with_logits(logits, targets)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise DivergedError(
            f"the loss is {value} at step {run.step}; the last checkpoint is good: lower the learning rate and resume"
        )
    run.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(run.network.parameters(), recipe.gradient_norm)
    run.optimizer.step()
    run.step += 1
    _update_average(run, recipe)
    return value


def _update_average(run: Run, recipe: Recipe) -> None:
    keep = min(recipe.ema_decay, (1 + run.step) / (10 + run.step))  # a young average forgets its random start faster
    for name, tensor in run.network.state_dict().items():
        if tensor.is_floating_point():
            run.average[name].lerp_(tensor, 1 - keep)
        else:
            run.average[name].copy_(tensor)


def _set_learning_rate(run: Run, recipe: Recipe, progress: float) -> None:
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate(recipe, progress)


def _mixed_precision(device: torch.device, *, enabled: bool = True) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)
