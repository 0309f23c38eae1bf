"""The weights that a run starts from: a published model's, ImageNet's, or random ones."""

from pathlib import Path

from torch import Tensor

from training.config import Recipe
from training.errors import PretrainedError
from training.parts import Tell
from training.pretrained import imagenet_weights
from worker.model.artifact import load_card
from worker.model.network import load_network

RANDOM = "random"
Initial = tuple[str, dict[str, Tensor] | None]


def initial_weights(recipe: Recipe, *, model: Path | None, imagenet: Path | None, tell: Tell) -> Initial:
    """Find the weights that a recipe asks for.

    Args:
        recipe: its architecture, and whether it would start from ImageNet's weights.
        model: version directory to continue from; None: what the recipe says.
        imagenet: file with ImageNet's weights; None: torchvision's download.
        tell: told where the download fails, and the run starts from random weights.

    Returns:
        Name of the weights with their hash, and the backbone's parameters; None where all are random.

    Raises:
        ModelError: if the model is damaged.
        PretrainedError: if the named file or model does not fit the recipe, or both are named.
    """
    if model is not None and imagenet is not None:
        raise PretrainedError("a run starts from one set of weights: give --init or --imagenet")
    if model is not None:
        return _published(model, recipe)
    if imagenet is not None:
        return imagenet_weights(recipe.architecture, imagenet)
    if recipe.pretrained == "none":
        return RANDOM, None
    try:
        return imagenet_weights(recipe.architecture)
    except PretrainedError as error:
        tell(f"{error}; this run starts from random weights, with the recipe's phases for those")
        return RANDOM, None


def _published(model: Path, recipe: Recipe) -> Initial:
    card = load_card(model)
    if (card.architecture, recipe.outputs) != (recipe.architecture, 1):
        raise PretrainedError(
            f"{model} is a {card.architecture} with one output, recipe {recipe.name} trains a {recipe.architecture} "
            f"with {recipe.outputs}; choose a recipe for that network"
        )
    return f"model {card.sha256}", load_network(model, card).backbone.state_dict()
