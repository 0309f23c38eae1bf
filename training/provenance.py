"""What a person must state of a model: name, purpose, limits, and whose films it learned from."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from worker.model.artifact import AgeRange


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Frozen):
    """The makers of a data set, as its licence asks to name them."""

    licence: str
    attribution: str
    source: str


UNSTATED = Source(licence="not stated", attribution="not stated", source="not stated")


class Provenance(_Frozen):
    """The part of a model card that is no measurement.

    Attributes:
        sources: by the name of the data folder.
    """

    name: str = "resnet50"
    version: str = "0.0.0"
    status: Literal["provisional", "certified"] = "provisional"
    description: str = "Provisional: a run that nobody has judged."
    licence: str = "not stated"
    intended_use: str = "Research only; not a medical device."
    intended_ages: AgeRange = AgeRange(at_least=0, below=150)
    limits: tuple[str, ...] = ()
    sources: dict[str, Source] = {}

    def source(self, name: str) -> Source:
        """Return the stated source of a data set, or one that says that nothing is stated."""
        return self.sources.get(name, UNSTATED)
