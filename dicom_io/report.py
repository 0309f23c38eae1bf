"""What a screening report states, apart from how a DICOM object says it."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydicom.uid import UID, Comprehensive3DSRStorage, ComprehensiveSRStorage, SecondaryCaptureImageStorage

from dicom_io.reasons import Reason

# Manufacturer and Manufacturer's Model Name of every object that we make; a phantom has another model name.
MANUFACTURER = "cxr-triage"
_UUID_ROOT = "2.25."


class ReportForm(StrEnum):
    """As which kind of DICOM object a report is sent; the best first, the others are for peers that refuse it."""

    COMPREHENSIVE_3D_SR = "comprehensive-3d-sr"
    COMPREHENSIVE_SR = "comprehensive-sr"
    SECONDARY_CAPTURE = "secondary-capture"

    @property
    def sop_class_uid(self) -> UID:
        """SOP class of the object."""
        return _SOP_CLASSES[self]

    @property
    def kind(self) -> str:
        """What `derive_uid` names the object by; its series is `<kind>-series`."""
        return "sr" if self is ReportForm.COMPREHENSIVE_3D_SR else str(self)

    @property
    def is_structured(self) -> bool:
        """Whether it is a structured report, which a later one may name as its predecessor (PS3.3 C.17.2)."""
        return self is not ReportForm.SECONDARY_CAPTURE


_SOP_CLASSES = {
    ReportForm.COMPREHENSIVE_3D_SR: Comprehensive3DSRStorage,
    ReportForm.COMPREHENSIVE_SR: ComprehensiveSRStorage,
    ReportForm.SECONDARY_CAPTURE: SecondaryCaptureImageStorage,
}


@dataclass(frozen=True, slots=True)
class ScreenedImage:
    """What is said of one frame.

    Attributes:
        frame: number of the frame, the first is 1.
        reason: why it was not screened; None if it was.
        flagged: at or above the threshold.
        probability: calibrated probability of the finding in [0, 1]; None if not screened.
        threshold: the probability at the operating point in [0, 1].
        withdrawn: a reader withdrew its flag: no finding is stated of it.
    """

    sop_instance_uid: str
    frame: int
    reason: Reason | None
    flagged: bool
    probability: float | None
    threshold: float | None
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class ScreeningReport:
    """One result about one study.

    Attributes:
        result_uid: "2.25." and the decimal form of a UUID; every UID of the object derives from it.
        predecessor_result_uid: an earlier result whose report this one replaces.
        predecessor_corrections: `corrections` of that report.
        predecessor_form: as what it was sent; a structured report names no predecessor that was none.
        corrections: how often the study's patient and study attributes were corrected before it is sent; a report that
            repeats other attributes is another object.
        complete: the last word on this revision of the study, or told early.
        reason: why the study as a whole was not screened; None if it was.
        flagged: asks for a high place in the reading order, for a finding.
        waiting: asks for it since nobody has read the study for too long; never with `flagged`.
        withdrawn: a reader withdrew the study's flag, and nothing has raised it since.
        model_sha256: 64 hex digits, hash of the model's card.
        created_at: with time zone.
    """

    result_uid: str
    predecessor_result_uid: str | None
    complete: bool
    reason: Reason | None
    flagged: bool
    warnings: Sequence[str]
    images: Sequence[ScreenedImage]
    model_name: str
    model_version: str
    model_sha256: str
    created_at: datetime
    waiting: bool = False
    withdrawn: bool = False
    corrections: int = 0
    predecessor_corrections: int = 0
    predecessor_form: ReportForm | None = None


def describe(report: ScreeningReport) -> str:
    """Return the Series Description, which a worklist can filter on."""
    if report.flagged:
        return "AI TRIAGE: HIGH"
    if report.waiting:
        return "AI TRIAGE: HIGH, WAITING TIME"
    if report.withdrawn:
        return "AI TRIAGE: FLAG WITHDRAWN"
    return "AI TRIAGE: SCREENED" if report.reason is None else "AI TRIAGE: UNSCREENED"


def derive_uid(result_uid: str, kind: str, corrections: int = 0) -> str:
    """Name an object made from a result, always the same for the same content.

    Args:
        result_uid: "2.25." and the decimal form of a UUID.
        kind: which object, e.g. "sr".
        corrections: how often the patient and study attributes that it repeats were corrected.

    Raises:
        ValueError: if `result_uid` is no UUID-derived UID.

    Source: DICOM PS3.5 B.2, RFC 9562 5.5.
    """
    prefix, number = result_uid[: len(_UUID_ROOT)], result_uid[len(_UUID_ROOT) :]
    if prefix != _UUID_ROOT or not number.isdecimal():
        raise ValueError(f"{result_uid!r} is not derived from a UUID; result UIDs begin with {_UUID_ROOT}")
    name = f"{kind}/{corrections}" if corrections else kind
    return _UUID_ROOT + str(uuid.uuid5(uuid.UUID(int=int(number)), name).int)
