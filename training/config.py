"""Recipes: everything that determines a training run except the data."""

import tomllib
from importlib import resources
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from training.errors import RecipeError
from training.provenance import Provenance


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Phase(_Frozen):
    """A stretch of epochs at one picture size, in pixels."""

    size: int = Field(ge=32, le=1024)
    epochs: int = Field(ge=1)


class AugmentationSettings(_Frozen):
    """Ranges of the random changes; each picture draws its own.

    Mirroring is absent by choice: the heart lies left, and the model shall not learn that it may lie right.

    Attributes:
        crop_area: lower and upper share of the picture's area that is cut out and enlarged.
        crop_aspect: lower and upper width-to-height ratio of the cut.
        rotation_degrees: largest rotation either way.
        brightness, contrast: largest relative change either way.
        log_gamma: largest absolute natural logarithm of the gamma.
        stretch_share: share of pictures whose 0.5 and 99.5 percentiles become black and white.
        jpeg_share: share of pictures that are compressed again; file quality is a shortcut to the label.
        jpeg_quality: lower and upper quality of that compression.
        sharpness: largest blend, either way, of a picture with its blurred self (standard deviation 1 pixel): films
            come through resize kernels of many makers, and how sharp they leave a film is a shortcut to its source.
        noise: largest standard deviation of added grain, as a share of the grey scale.
    """

    crop_area: tuple[float, float] = (0.25, 1.0)
    crop_aspect: tuple[float, float] = (0.75, 1.3333)
    rotation_degrees: float = 10
    brightness: float = 0.3
    contrast: float = 0.3
    log_gamma: float = 0.3
    stretch_share: float = 0.3
    jpeg_share: float = 0.5
    jpeg_quality: tuple[int, int] = (30, 95)
    sharpness: float = Field(default=0.0, ge=0, le=1)
    noise: float = Field(default=0.0, ge=0, le=0.2)


class Recipe(_Frozen):
    """One training run.

    Attributes:
        description: what the recipe is for.
        seed: of the split, the initial weights, the order of the films and the augmentation.
        phases: sizes and epochs, in order.
        learning_rate: highest learning rate of AdamW; one cycle over all phases.
        warmup: share of the steps with a rising learning rate.
        weight_decay: of weights with more than one dimension.
        label_smoothing: share of the label that is spread over both classes.
        gradient_norm: gradients are clipped to this norm.
        ema_decay: of the moving average of the weights, which is what ships.
        validation_share: share of the patients held out; they choose the threshold and nothing else.
        target_sensitivity, confidence: the promise that the threshold keeps.
        card: what the card states beside the figures.
    """

    name: str
    description: str
    seed: int = 7
    phases: tuple[Phase, ...] = Field(min_length=1)
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    warmup: float = Field(default=0.15, gt=0, lt=1)
    weight_decay: float = Field(default=0.05, ge=0)
    label_smoothing: float = Field(default=0.02, ge=0, lt=1)
    gradient_norm: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.985, ge=0, lt=1)
    validation_share: float = Field(default=0.16, gt=0, lt=1)
    target_sensitivity: float = Field(default=0.98, gt=0, lt=1)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    augmentation: AugmentationSettings = AugmentationSettings()
    card: Provenance = Provenance()

    @model_validator(mode="after")
    def _sizes_fit_the_network(self) -> Self:
        if any(phase.size % 16 for phase in self.phases):
            raise ValueError("phases: every size must be a multiple of 16")
        return self

    @property
    def identity(self) -> str:
        """Everything that changes the weights, as canonical JSON."""
        return self.model_dump_json(exclude={"description", "card"})

    @property
    def epochs(self) -> int:
        """Epochs of all phases together."""
        return sum(phase.epochs for phase in self.phases)

    def size_of_epoch(self, epoch: int) -> int:
        """Return the picture size of an epoch, counted from 0 over all phases; in pixels."""
        for phase in self.phases:
            if epoch < phase.epochs:
                return phase.size
            epoch -= phase.epochs
        return self.phases[-1].size


def recipe_names() -> list[str]:
    """Names of the recipes that ship, sorted."""
    folder = resources.files("training") / "recipes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_recipe(name: str) -> Recipe:
    """Read a shipped recipe.

    Raises:
        RecipeError: if there is none of this name, or it does not describe a run.
    """
    if name not in recipe_names():
        raise RecipeError(f"there is no recipe {name!r}; choose one of: {', '.join(recipe_names())}")
    text = (resources.files("training") / "recipes" / f"{name}.toml").read_text()
    try:
        return Recipe(name=name, **tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise RecipeError(f"recipe {name}: {error}") from None
