"""What a re-screening is shown as: how it stands, and what it changes; the JSON report is `Difference`."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.domain import ModelReference


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True, from_attributes=True)


class RunView(_View):
    """A run; `outcome` is null while it goes on. `frames` were to be scored when it began, `done` are so far.

    `to_prepare` objects wait for the prepare workers. `waiting_for` says why no score host takes it up, if that is so.
    """

    number: int
    model: ModelReference
    since: datetime
    until: datetime
    requested_by: str
    deliver: bool
    frames: int
    done: int
    told: int
    to_prepare: int
    outcome: str | None
    waiting_for: str | None
    started_at: datetime
    ended_at: datetime | None


class Changes(_View):
    """Counts by what was said before and what the model says now."""

    newly_flagged: int = 0
    no_longer_flagged: int = 0
    still_flagged: int = 0
    never_flagged: int = 0

    @property
    def all(self) -> int:
        """The sum."""
        return self.newly_flagged + self.no_longer_flagged + self.still_flagged + self.never_flagged


class Bin(_View):
    """Frames by the shift of their probability, `at` to the nearest thousandth."""

    at: float
    frames: int


class Shift(_View):
    """By how much the model's answers differ from those of the one before, over frames; probabilities are calibrated.

    `quantiles` of the shift of the probability are exact to a thousandth; their keys are shares.
    """

    mean_probability: float
    mean_logit: float
    quantiles: dict[str, float]
    bins: list[Bin] = Field(exclude=True)


class Pair(_View):
    """What a model says of what another one judged; a study counts with the newest of its earlier models."""

    previous: ModelReference
    frames: Changes
    studies: Changes
    shift: Shift


class ChangedStudy(_View):
    """A study whose flag the model sees otherwise; probabilities are the highest of its frames.

    The accession number is for the page that a site looks at, and in no JSON.
    """

    study_instance_uid: str
    accession_number: str | None = Field(exclude=True)
    received_at: datetime
    previous_probability: float
    probability: float
    threshold: float
    told: bool


class Counts(_View):
    """What was looked at: studies, and their frames or images by what became of them.

    Attributes:
        studies: received in the window.
        studies_scored: with a frame that the model scored in a re-screening.
        frames_scored: by re-screenings with this model.
        already: frames that this model judged when they came.
        not_prepared: no prepared pixels of the model's input, and no file to make them of.
        damaged: the prepared pixels are not a film's.
        no_score: the answer was no number.
        unanswered: still to be scored, or given up after too many attempts.
        being_screened: images that are left to the live path.
        failed: images in quarantine.
        other_patient: rejected images that may show another patient.
        withdrawn: frames that are flagged, but on whose image a reader withdrew the flag; they raise nothing.
    """

    studies: int
    studies_scored: int
    frames_scored: int
    already: int
    not_prepared: int
    damaged: int
    no_score: int
    unanswered: int
    being_screened: int
    failed: int
    other_patient: int
    withdrawn: int


class Difference(_View):
    """What a model would say otherwise of the studies of a run's window; nothing is ever lowered by it.

    `newly_flagged` and `no_longer_flagged` are the studies with the highest and lowest probabilities; `studies` has
    how many there are in all.
    """

    schema_: Literal["cxr-triage/rescreen/1"] = Field(default="cxr-triage/rescreen/1", alias="schema")
    run: RunView
    counts: Counts
    studies: Changes
    frames: Changes
    pairs: list[Pair]
    newly_flagged: list[ChangedStudy]
    no_longer_flagged: list[ChangedStudy]
    lacking: list[str]  # SOP Instance UIDs of images without an answer
    created_at: datetime

    def to_json(self) -> str:
        """The report as JSON, with UIDs and no patient data."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


class RescreenedFrame(_View):
    """What a model said of a frame of a study when it was asked again."""

    rescreen_id: int
    image_id: int
    frame: int
    model: str
    probability: float | None
    threshold: float | None
    flagged: bool
    previous_probability: float
    previous_flagged: bool
    lack: str | None
    scored_at: datetime
