"""The words of the service: what a flag says, and the states of a study, an image and a delivery.

Pure values; no I/O, no clock.
"""

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from dicom_io.reasons import Reason
from dicom_io.report import ReportForm

FINDING = "suspected pneumonia"


class ScreeningStatus(StrEnum):
    """What may be said of an image or a study. Neither word means "normal"."""

    SCREENED = "SCREENED"
    UNSCREENED = "UNSCREENED"


class Priority(StrEnum):
    """The place in the reading order that a flag asks for. A study without a flag has none."""

    HIGH = "HIGH"


class PriorityReason(StrEnum):
    """Why a priority was raised."""

    FINDING = "finding"
    WAITING_TIME = (
        "waiting-time"  # nobody has read the study for longer than the site allows; says nothing of a finding
    )


class Origin(StrEnum):
    """What made us look at the image."""

    LIVE = "live"
    RESCREEN = "rescreen"
    SHADOW = "shadow"


class Stage(StrEnum):
    """Which of its possible statements on one revision a result is; a revision has at most one of each per model."""

    EARLY = "early"  # the first flagged image, told at once
    OVERDUE = "overdue"  # not done in time
    COMPLETE = "complete"  # quiet, and every image terminal
    WITHDRAWN = "withdrawn"  # a reader said that the flag was wrong
    RESCREENED = "rescreened"  # asked again, another model flags it
    WAITING = "waiting"  # unread for too long


class Urgency(IntEnum):
    """Order of the work. The Priority of the C-STORE request (PS3.7 9.1.1.1) maps onto it; live goes before nightly."""

    RESCREEN = 0
    LOW = 10
    MEDIUM = 20
    HIGH = 30


class ImageState(StrEnum):
    """Where an image stands. The first two are work; the others are terminal."""

    RECEIVED = "received"
    PREPARED = "prepared"
    SCORED = "scored"
    OUT_OF_SCOPE = "out-of-scope"
    FAILED = "failed"
    SUPERSEDED = "superseded"


WORKING_STATES = (ImageState.RECEIVED, ImageState.PREPARED)


class UserRole(StrEnum):
    """What a user of the page may do."""

    READER = "reader"  # looks, records verdicts, withdraws flags
    ADMIN = "admin"  # that, and sends again and puts back
    INTERFACE = "interface"  # a program, such as a RIS's interface engine: looks, and says what was read


class VerdictWord(StrEnum):
    """What a reader says of what the service said of a study."""

    AGREES = "agrees"
    DISAGREES = "disagrees"


class DeliveryState(StrEnum):
    """Where a row of the outbox, or the report of a storage commitment, stands.

    A result is overtaken if it was never sent, as its destination has a later one of the study.
    """

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    OVERTAKEN = "overtaken"


NEVER_SENT_AGAIN = (DeliveryState.DELIVERED, DeliveryState.OVERTAKEN)


class CommitmentState(StrEnum):
    """What became of the storage commitment that was asked for with a delivery."""

    ASKED = "asked"
    COMMITTED = "committed"
    FAILED = "failed"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ModelReference(_Frozen):
    """A model; `sha256` is the hash of its canonical card.json."""

    name: str
    version: str
    sha256: str


class Prediction(_Frozen):
    """What is said of one frame; its first frame has number 1, as in DICOM.

    Attributes:
        probability: calibrated probability of the finding in [0, 1]; None if not scored.
        logit: the network's output before the sigmoid.
        threshold: the probability at the operating point.
        threshold_logit: the logit at and above which the frame is flagged.
        withdrawn: whether a reader said that this flagged frame's flag was wrong; it raises nothing any more.
        model: the model that scored the frame, where it is another one than the flag names.
    """

    sop_instance_uid: str | None
    content_sha256: str
    frame: int = Field(ge=1)
    status: ScreeningStatus
    reason: Reason | None = None
    probability: float | None = Field(default=None, ge=0, le=1)
    logit: float | None = None
    threshold: float | None = Field(default=None, ge=0, le=1)
    threshold_logit: float | None = None
    flagged: bool = False
    withdrawn: bool = False
    model: ModelReference | None = None


class Flag(_Frozen):
    """One screening result as it leaves the service; the JSON flag of every destination.

    `priority_reason` waiting-time comes without a finding: nobody has read the study for too long. `withdrawn` says
    that a reader withdrew the study's flag, and that nothing has raised it since; it never means normal. `model` is the
    one that gave the newest score, or the one in service where nothing was scored. The JSON Schema is
    `worker/delivery/flag.schema.json`.
    """

    schema_: Literal["cxr-triage/flag/1"] = Field(default="cxr-triage/flag/1", alias="schema")
    result_uid: str
    supersedes: str | None
    revision: int = Field(ge=1)
    complete: bool
    origin: Origin
    study_instance_uid: str | None
    accession_number: str | None
    status: ScreeningStatus
    reason: Reason | None
    priority: Priority | None
    priority_reason: PriorityReason | None
    finding: str | None
    withdrawn: bool = False
    warnings: tuple[str, ...] = ()
    images: tuple[Prediction, ...]
    model: ModelReference
    created_at: datetime

    def to_json(self) -> str:
        """The canonical text of the flag: field order as declared, UTC times, no spaces."""
        return self.model_dump_json(by_alias=True)


class FrameEvidence(_Frozen):
    """What the heatmap of a flagged frame is drawn from; None where it is not stored, or not any more.

    Attributes:
        prediction: what is said of the frame.
        activation_map: float16, little endian, of a square in units of the logit.
        pixels: what the network saw: uint8 of a square, zstd.
    """

    prediction: Prediction
    activation_map: bytes | None
    pixels: bytes | None


class ScreeningResult(_Frozen):
    """A result with what the delivery needs beside the flag.

    Attributes:
        flag: what is said.
        headers: one encoded header data set (no pixels, Explicit VR Little Endian) per image named in the flag
            that came as DICOM, in the flag's order.
        newest_header: that of the study's most recently received image, whose patient and study attributes are to be
            repeated; None: those of the first header.
        corrections: how often these attributes were corrected; objects with other ones have other UIDs.
        predecessor_result_uid: the last earlier result of the study that this destination has accepted, if any.
        predecessor_corrections: the number of corrections when it was sent.
        predecessor_form: as which kind of DICOM object it was sent; None if it was not sent as one.
        evidence: of the frames whose heatmaps the destination wants.
    """

    flag: Flag
    headers: tuple[bytes, ...] = ()
    newest_header: bytes | None = None
    corrections: int = 0
    predecessor_result_uid: str | None = None
    predecessor_corrections: int = 0
    predecessor_form: ReportForm | None = None
    evidence: tuple[FrameEvidence, ...] = ()

    @property
    def has_dicom_source(self) -> bool:
        """Whether a DICOM report can be made: of an image it names, or of the study where all were rejected."""
        return bool(self.headers) or (self.newest_header is not None and not self.flag.images)
