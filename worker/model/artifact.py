"""The model as it ships: a directory with `card.json` and `model.safetensors`, checked by their hashes.

The identity of a model is the SHA-256 of its canonical card, which names the hash of the weights. No torch here.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from worker.errors import ModelError
from worker.model.input_spec import InputSpec

CARD_NAME = "card.json"
WEIGHTS_NAME = "model.safetensors"
SCOPE_NAME = "scope.safetensors"

ArchitectureName = Literal["resnet50", "densenet161", "baseline-cnn"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class OperatingPoint(_Frozen):
    """Where the model flags, and what is promised of it.

    Attributes:
        threshold_logit: a film is flagged at and above this logit.
        temperature: divides the logit before the sigmoid, for the probability that is shown.
        target_sensitivity: the sensitivity that is promised; null, as all of the promise, where none is made.
        confidence: probability, over draws of the calibration patients, that the true sensitivity reaches the target.
        method: how the threshold was chosen; only the first one promises anything.
        unit: what is counted; a patient's score is the lowest of the positive films.
        positives: positive patients that the threshold was chosen on.
        allowed_misses: how many of them the threshold may miss.
        lower_bound: one-sided Clopper-Pearson lower bound of the sensitivity when that many are missed.
        precision_margin: largest logit difference between the served precisions; already taken off the threshold.
        chosen_on: the patients, in words.
    """

    threshold_logit: float
    temperature: float = Field(gt=0)
    target_sensitivity: float | None = Field(gt=0, lt=1)
    confidence: float | None = Field(gt=0, lt=1)
    method: Literal["clopper-pearson-order-statistic", "conformal-risk-control", "balanced-accuracy", "half"]
    unit: Literal["patient"]
    positives: int = Field(ge=1)
    allowed_misses: int | None = Field(ge=0)
    lower_bound: float | None = Field(ge=0, le=1)
    precision_margin: float = Field(ge=0)
    chosen_on: str

    @model_validator(mode="after")
    def _promise_is_whole(self) -> Self:
        promise = (self.target_sensitivity, self.confidence, self.allowed_misses, self.lower_bound)
        if any((figure is not None) != self.promises for figure in promise):
            raise ValueError(f"method {self.method}: a promise has all its figures, and no promise has none")
        return self

    @property
    def promises(self) -> bool:
        """Whether a sensitivity is certified at this threshold."""
        return self.method == "clopper-pearson-order-statistic"

    def flags(self, logit: float) -> bool:
        """Tell whether a film with this logit is flagged; a logit that is no number is."""
        return not logit < self.threshold_logit

    def probability(self, logit: float) -> float:
        """Turn a logit into the temperature-scaled probability of the finding, in [0, 1]."""
        scaled = logit / self.temperature
        if scaled >= 0:
            return 1 / (1 + math.exp(-scaled))
        return math.exp(scaled) / (1 + math.exp(scaled))

    @property
    def threshold(self) -> float:
        """The probability at the threshold."""
        return self.probability(self.threshold_logit)


class Measurement(_Frozen):
    """What was measured with the shipped weights at the card's threshold, on patients outside the training.

    Attributes:
        cases: the films, in words.
        images, positives, patients: how many films, positive films and patients.
        auc, sensitivity, specificity: over films, in [0, 1].
        intervals: 95 % interval of each, from a bootstrap over patients.
        specificity_at_sensitivity: over films, at the thresholds that these very films give; keys are sensitivities.
    """

    cases: str
    images: int = Field(ge=1)
    positives: int = Field(ge=0)
    patients: int = Field(ge=1)
    auc: float = Field(ge=0, le=1)
    sensitivity: float = Field(ge=0, le=1)
    specificity: float = Field(ge=0, le=1)
    intervals: dict[str, tuple[float, float]]
    specificity_at_sensitivity: dict[str, float]


class DataSource(_Frozen):
    """Films that the model was trained on, with the attribution that their licence asks for.

    Attributes:
        name: short name.
        images, patients: how many were used for training.
        sha256: hash over the sorted SHA-256 of the training films' prepared pixels.
        licence, attribution, source: as their makers ask.
    """

    name: str
    images: int = Field(ge=1)
    patients: int = Field(ge=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    licence: str
    attribution: str
    source: str


class AgeRange(_Frozen):
    """Ages in years: from `at_least`, up to but without `below`."""

    at_least: float = Field(ge=0)
    below: float = Field(gt=0)

    def includes(self, years: float) -> bool:
        """Tell whether an age in years lies in the range."""
        return self.at_least <= years < self.below


class SelfTest(_Frozen):
    """The answer that the model must give on the drawn phantom.

    Attributes:
        pixels_sha256: hash of the bytes of `dicom_io.phantom.self_test_pixels()`.
        logit: the shipped model's logit on them, fp32 on a CPU.
        tolerance: largest difference that is still the same model.
    """

    pixels_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    logit: float
    tolerance: float = Field(gt=0)


class TurnedAway(_Frozen):
    """How many real chest films the gate takes for something else.

    Attributes:
        cases: the films, in words.
        images, turned_away: how many there were, and how many lie beyond the gate's distance.
    """

    cases: str
    images: int = Field(ge=1)
    turned_away: int = Field(ge=0)


class ScopeGate(_Frozen):
    """From where on a picture does not look like a chest film to the model.

    Attributes:
        statistics_sha256: hash of `scope.safetensors`.
        largest_distance: a picture farther away is out of scope; see `worker.model.scope`.
        measurements: what the gate does to real chest films of patients who set neither the statistics nor the
            distance: the films are divided into folds, and each is measured with what the others set.
    """

    statistics_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    largest_distance: float = Field(gt=0)
    measurements: tuple[TurnedAway, ...]

    def lets_in(self, distance: float) -> bool:
        """Tell whether a picture at this distance looks like a chest film; a distance that is no number does."""
        return not distance > self.largest_distance


class ModelCard(_Frozen):
    """What a model is, what it was made from, how it was measured and what it is not for."""

    schema_version: Literal[1] = 1
    name: str
    version: str
    status: Literal["provisional", "certified"]
    description: str
    architecture: ArchitectureName
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    weights_precision: Literal["float16", "float32"]
    input_spec: InputSpec
    operating_point: OperatingPoint
    scope: ScopeGate
    measurements: tuple[Measurement, ...]
    data: tuple[DataSource, ...]
    recipe: str
    licence: str
    intended_use: str
    intended_ages: AgeRange
    limits: tuple[str, ...]
    self_test: SelfTest

    @model_validator(mode="after")
    def _provisional_says_so(self) -> Self:
        if self.status == "provisional" and "provisional" not in self.description.lower():
            raise ValueError("description: a provisional model must say so in its description")
        if self.status == "certified" and not self.operating_point.promises:
            raise ValueError("status: a model whose threshold promises nothing is not certified")
        return self

    def canonical(self) -> str:
        """The one text of this card: sorted keys, two spaces, a final newline."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, indent=2, ensure_ascii=False) + "\n"

    @property
    def sha256(self) -> str:
        """Hash of the canonical text; the identity of the model. 64 hex digits."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()


def default_directory() -> Path:
    """The directory of the model that ships with this package."""
    return Path(__file__).parent / "champion"


def load_card(directory: Path) -> ModelCard:
    """Read a model's card and check it and the weights' hash; reads both files whole.

    Args:
        directory: a version directory with `card.json` and `model.safetensors`.

    Returns:
        The card.

    Raises:
        ModelError: if a file is absent or unreadable, the card is not a canonical card, or the weights are not those
            that the card names.
    """
    card = _parse(directory / CARD_NAME)
    found = hashlib.sha256(_read(directory / WEIGHTS_NAME)).hexdigest()
    if found != card.weights_sha256:
        raise ModelError(
            f"{directory / WEIGHTS_NAME} has SHA-256 {found}, the card names {card.weights_sha256}: "
            "the file is damaged or of another version; copy the whole model directory again"
        )
    return card


def save_card(card: ModelCard, directory: Path) -> None:
    """Write the canonical `card.json` into a model directory."""
    (directory / CARD_NAME).write_bytes(card.canonical().encode())


def _parse(path: Path) -> ModelCard:
    text = _read(path)
    try:
        card = ModelCard.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise ModelError(f"{path} is no model card ({where}: {first['msg']}); copy the model directory again") from None
    if card.canonical().encode() != text:
        raise ModelError(
            f"{path} was changed after it was written; copy the model directory again or publish a new one"
        )
    return card


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"cannot read {path} ({error.strerror}); a model directory holds {CARD_NAME} and {WEIGHTS_NAME}"
        ) from None
