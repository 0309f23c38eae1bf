"""The training loop: beginning a run, one epoch, and scoring a set."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.augmentation import augment, resize
from training.checkpoints import Run
from training.config import Recipe
from training.errors import DataError, DivergedError
from training.films import Films
from training.schedule import Place, learning_rate, next_place, phase_of
from worker.model.input_spec import InputSpec
from worker.model.network import Network


def new_run(recipe: Recipe, spec: InputSpec, device: torch.device, initial: dict[str, Tensor] | None = None) -> Run:
    """Begin a run: weights drawn from the recipe's seed, no decay of biases and batch norms.

    Args:
        recipe: how.
        spec: preparation of the films.
        device: where.
        initial: parameters of the backbone that are not drawn, in its own names.
    """
    torch.manual_seed(recipe.seed)
    network = Network(spec, recipe.architecture, outputs=recipe.outputs, dropout=recipe.dropout)
    network.backbone.load_state_dict(initial or {}, strict=False)
    network.to(device)
    average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    return Run(network, _optimizer(network, recipe), average)


def train_one_epoch(
    run: Run, films: Films, recipe: Recipe, device: torch.device, advance: Callable[[], None] = lambda: None
) -> float:
    """Go once over the films in random order; order and augmentation depend on seed and epoch alone.

    Args:
        run: changed in place; its history, which says what epoch this is, is the caller's.
        films: training films, at least one batch.
        recipe: how; it must have an epoch left.
        device: where.
        advance: called after each step.

    Returns:
        Mean loss.

    Raises:
        DataError: if there is less than one batch of films.
        DivergedError: if the loss or its gradient is no finite number; the weights are those of the step before.
    """
    steps = len(films) // recipe.batch_size
    if steps == 0:
        raise DataError(f"{len(films)} training films are less than one batch of {recipe.batch_size}; add films")
    place = next_place(recipe, run.history)
    assert place is not None, "the caller asks for no epoch beyond the last"  # noqa: S101
    dice = torch.Generator().manual_seed(recipe.seed * 1_000_003 + run.epoch)
    torch.manual_seed(recipe.seed + run.epoch)  # for dropout
    order = torch.randperm(len(films), generator=dice)[: steps * recipe.batch_size].numpy()
    weights, size, losses = _class_weights(films, recipe), phase_of(recipe, place).size, []
    _thaw(run.network, phase_of(recipe, place).unfrozen)
    for step, rows in enumerate(np.split(order, steps)):
        pictures = augment(torch.from_numpy(films.pixels[rows]), size, recipe.augmentation, dice).to(device)
        labels = torch.from_numpy(films.labels[rows])
        _set_learning_rate(run, recipe, place, step / steps)
        losses.append(_step(run, pictures, labels.to(device), weights[labels].to(device), recipe))
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
    exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=mixed)
    with torch.inference_mode(), exact, _mixed_precision(device, enabled=mixed):
        for start in range(0, len(pixels), 64):
            batch = resize(torch.from_numpy(pixels[start : start + 64]), size).to(device)
            logits.append(network(batch)[0].float().cpu().numpy())
    return np.concatenate(logits)


def _optimizer(network: Network, recipe: Recipe) -> torch.optim.Optimizer:
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=recipe.learning_rate)


def _thaw(network: Network, stages: int | None) -> None:
    """Let the stages next to the head learn, and hold the others still, their batch norms included."""
    learning = tuple(f"{name}." for stage in network.architecture.stages[:stages] for name in stage)
    for name, parameter in network.backbone.named_parameters():
        parameter.requires_grad_(name.startswith(learning))
    network.train()
    for name, module in network.backbone.named_modules():
        if isinstance(module, nn.BatchNorm2d) and not f"{name}.".startswith(learning):
            module.eval()


def _class_weights(films: Films, recipe: Recipe) -> Tensor:
    """Weight of each class in the loss, (2,); their mean over the films is 1."""
    if not recipe.class_weights:
        return torch.ones(2)
    counts = torch.bincount(torch.from_numpy(films.labels), minlength=2).clamp_min(1)
    return len(films) / (2 * counts)


def _step(run: Run, pictures: Tensor, labels: Tensor, weights: Tensor, recipe: Recipe) -> float:
    with _mixed_precision(pictures.device):
        logits = run.network(pictures)[0].float()
    # Of two outputs the cross-entropy is that of their difference.
    targets = labels.float() * (1 - recipe.label_smoothing) + recipe.label_smoothing / 2
    loss = functional.binary_cross_entropy_with_logits(logits, targets, weights)
    value = float(loss.detach())
    _refuse_what_is_no_number("loss", value, run)
    run.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(run.network.parameters(), recipe.gradient_norm)
    _refuse_what_is_no_number("gradient", float(norm), run)  # it would be found after the last step of an epoch only
    run.optimizer.step()
    run.step += 1
    _update_average(run, recipe)
    return value


def _refuse_what_is_no_number(name: str, value: float, run: Run) -> None:
    if not math.isfinite(value):
        raise DivergedError(
            f"the {name} is {value} at step {run.step}; a checkpoint of before is good, but the same recipe would end "
            "here again: lower its learning rate and begin in another --output"
        )


def _update_average(run: Run, recipe: Recipe) -> None:
    keep = min(recipe.ema_decay, (1 + run.step) / (10 + run.step))  # a young average forgets its random start faster
    for name, tensor in run.network.state_dict().items():
        if tensor.is_floating_point():
            run.average[name].lerp_(tensor, 1 - keep)
        else:
            run.average[name].copy_(tensor)


def _set_learning_rate(run: Run, recipe: Recipe, place: Place, within: float) -> None:
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate(recipe, place, within, run.history)


def _mixed_precision(device: torch.device, *, enabled: bool = True) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)
