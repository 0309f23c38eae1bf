"""Recipes: everything that determines a training run except the data."""

import tomllib
from importlib import resources
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from training.errors import RecipeError
from training.provenance import Provenance
from worker.model.artifact import ArchitectureName

_SMOKE = {"batch_size": 8, "target_sensitivity": 0.5, "confidence": 0.5, "validation_share": 0.25}
_SMOKE_DESCRIPTION = "Provisional: a smoke run of a few steps; it knows nothing."


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Phase(_Frozen):
    """A stretch of epochs.

    Attributes:
        size: side of the pictures, pixels.
        epochs: at most; fewer where the recipe stops early.
        unfrozen: stages of the network that learn, counted from the head; None: all.
        learning_rate: highest learning rate; None: the recipe's.
    """

    size: int = Field(ge=32, le=1024, multiple_of=16)
    epochs: int = Field(ge=1)
    unfrozen: int | None = Field(default=None, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)


class AugmentationSettings(_Frozen):
    """Ranges of the random changes; each picture draws its own.

    Mirroring is off by choice: the heart lies left, and the model shall not learn that it may lie right.

    Attributes:
        crop_area: lower and upper share of the picture's area that is cut out and enlarged.
        crop_aspect: lower and upper width-to-height ratio of the cut.
        rotation_degrees: largest rotation either way.
        translation: largest shift of the cut either way, as a share of the side.
        mirror_share: share of pictures that are mirrored left to right.
        brightness, contrast: largest relative change either way.
        log_gamma: largest absolute natural logarithm of the gamma.
        stretch_share: share of pictures whose 0.5 and 99.5 percentiles become black and white.
        jpeg_share: share of pictures that are compressed again; file quality is a shortcut to the label.
        jpeg_quality: lower and upper quality of that compression.
        sharpness: largest blend, either way, of a picture with its blurred self (standard deviation 1 pixel): films
            come through resize kernels of many makers, and how sharp they leave a film is a shortcut to its source.
        noise: largest standard deviation of added grain, as a share of the grey scale.
    """

    crop_area: tuple[float, float] = (1.0, 1.0)
    crop_aspect: tuple[float, float] = (1.0, 1.0)
    rotation_degrees: float = Field(default=0.0, ge=0, le=180)
    translation: float = Field(default=0.0, ge=0, le=0.5)
    mirror_share: float = Field(default=0.0, ge=0, le=1)
    brightness: float = Field(default=0.0, ge=0, lt=1)
    contrast: float = Field(default=0.0, ge=0, lt=1)
    log_gamma: float = Field(default=0.0, ge=0)
    stretch_share: float = Field(default=0.0, ge=0, le=1)
    jpeg_share: float = Field(default=0.0, ge=0, le=1)
    jpeg_quality: tuple[int, int] = (30, 95)
    sharpness: float = Field(default=0.0, ge=0, le=1)
    noise: float = Field(default=0.0, ge=0, le=0.2)


class Recipe(_Frozen):
    """One training run.

    Attributes:
        description: what the recipe is for.
        architecture: of the network.
        outputs: 1, or 2 whose difference is the logit; what is published has one.
        pretrained: the weights that the run would start from.
        initial: the weights that it does start from, by name or hash; set by the run itself.
        dropout: share of the last features that are left out in a training step.
        seed: of the split, the initial weights, the order of the films and the augmentation.
        phases: sizes and epochs, in order.
        scratch_phases: the phases where no pretrained weights can be had; empty: the same.
        optimizer: AdamW, Adam (weight decay within the gradient) or SGD with `momentum`.
        learning_rate: highest learning rate.
        schedule: `one-cycle` over all phases; `cosine` down within each phase; `plateau`: times `plateau_factor` after
            more than `plateau_patience` epochs without a lower loss on the selection films; or `constant`.
        warmup: share of the one cycle with a rising learning rate.
        early_stopping: a phase ends after this many epochs without a lower loss on the selection films.
        keep_best: publish the weights of the epoch with the highest AUC on the selection films, not the last ones.
        weight_decay: of weights with more than one dimension.
        label_smoothing: share of the label that is spread over both classes.
        class_weights: whether each class counts the same in the loss, however many films it has.
        gradient_norm: gradients are clipped to this norm.
        ema_decay: of the moving average of the weights, which is what ships; 0: the weights themselves.
        selection_share: share of the patients that watch over the run; needed where anything is selected.
        validation_share: share of the patients held out; they choose threshold and temperature, and share in the gate.
            Where there are no selection films the history shows their AUC, which must choose nothing.
        threshold: `certified`, or without a promise by conformal risk control, balanced accuracy, or one `half`.
        certify_on: the held-out patients of the `first` data set, or of `all`, choose the threshold.
        target_sensitivity, confidence: the promise that a certified threshold keeps.
        old_share: where old cases are mixed into a continued run, their share of each epoch.
        card: what the card states beside the figures.
    """

    name: str
    description: str
    architecture: ArchitectureName = "resnet50"
    outputs: Literal[1, 2] = 1
    pretrained: Literal["none", "imagenet"] = "none"
    initial: str = "random"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    seed: int = 7
    phases: tuple[Phase, ...] = Field(min_length=1)
    scratch_phases: tuple[Phase, ...] = ()
    batch_size: int = Field(default=64, ge=2)
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    momentum: float = Field(default=0.9, ge=0, lt=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["one-cycle", "cosine", "plateau", "constant"] = "one-cycle"
    warmup: float = Field(default=0.15, gt=0, lt=1)
    plateau_patience: int = Field(default=2, ge=0)
    plateau_factor: float = Field(default=0.1, gt=0, lt=1)
    early_stopping: int | None = Field(default=None, ge=1)
    keep_best: bool = False
    weight_decay: float = Field(default=0.0, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    class_weights: bool = False
    gradient_norm: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    selection_share: float = Field(default=0.0, ge=0, lt=1)
    validation_share: float = Field(default=0.16, gt=0, lt=1)
    threshold: Literal["certified", "conformal-risk-control", "balanced-accuracy", "half"] = "certified"
    certify_on: Literal["first", "all"] = "first"
    target_sensitivity: float = Field(default=0.98, gt=0, lt=1)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    old_share: float = Field(default=0.5, ge=0, lt=1)
    augmentation: AugmentationSettings = AugmentationSettings()
    card: Provenance = Provenance()

    @model_validator(mode="after")
    def _selects_on_films_of_their_own(self) -> Self:
        selects = self.schedule == "plateau" or self.early_stopping is not None or self.keep_best
        if selects and not self.selection_share:
            raise ValueError("selection_share: this recipe selects, and the films that certify must select nothing")
        if self.selection_share + self.validation_share >= 1:
            raise ValueError("selection_share and validation_share leave no patient for training")
        return self

    @property
    def identity(self) -> str:
        """Everything that changes the weights, as canonical JSON."""
        return self.model_dump_json(exclude={"description", "card"})

    @property
    def epochs(self) -> int:
        """Epochs of all phases together, where none stops early."""
        return sum(phase.epochs for phase in self.phases)

    def starting_from(self, initial: str) -> "Recipe":
        """Return the recipe of a run that starts from these weights; random ones need other phases."""
        phases = self.scratch_phases if initial == "random" and self.scratch_phases else self.phases
        return self.model_copy(update={"initial": initial, "phases": phases})

    def smoke(self) -> "Recipe":
        """Return the same recipe cut down to a few steps on small pictures; everything still runs once."""
        short = {name: _shortened(getattr(self, name)) for name in ("phases", "scratch_phases")}
        card = Provenance(name=self.name, description=_SMOKE_DESCRIPTION, sources=self.card.sources)
        return self.model_copy(update={**_SMOKE, **short, "card": card})


def _shortened(phases: tuple[Phase, ...]) -> tuple[Phase, ...]:
    epochs = 1 if len(phases) > 1 else 3
    return tuple(phase.model_copy(update={"size": min(phase.size, 64), "epochs": epochs}) for phase in phases)


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
