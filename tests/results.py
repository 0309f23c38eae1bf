"""Screening results with known content, for the tests of everything that goes out."""

from datetime import UTC, datetime

from pydicom import Dataset

from dicom_io.header import encode_header
from dicom_io.phantom import phantom_dataset
from dicom_io.reasons import Reason
from dicom_io.report import ReportForm
from worker.domain import (
    FINDING,
    Flag,
    ModelReference,
    Origin,
    Prediction,
    Priority,
    PriorityReason,
    ScreeningResult,
    ScreeningStatus,
)

STUDY = "2.25.1001"
FILM = "2.25.1003"
RESULT = "2.25.253305297428113029463418532937429143987"
PREDECESSOR = "2.25.98126392145093180372546172839455627181"


def film(sop_instance_uid: str = FILM) -> Dataset:
    """A phantom whose UIDs are the same in every run."""
    dataset = phantom_dataset(1, kind="CR", rows=16, columns=16, accession_number="ACC1", study_instance_uid=STUDY)
    dataset.SeriesInstanceUID, dataset.SOPInstanceUID = "2.25.1002", sop_instance_uid
    return dataset


def prediction(*, flagged: bool = False, reason: Reason | None = None, uid: str | None = FILM) -> Prediction:
    """What is said of one image: flagged, screened without a flag, or not screened for the reason."""
    if reason is not None:
        status = ScreeningStatus.UNSCREENED
        return Prediction(sop_instance_uid=uid, content_sha256="c" * 64, frame=1, status=status, reason=reason)
    return Prediction(
        sop_instance_uid=uid,
        content_sha256="c" * 64,
        frame=1,
        status=ScreeningStatus.SCREENED,
        probability=0.93456 if flagged else 0.015625,
        logit=2.6 if flagged else -4.1,
        threshold=0.3125,
        threshold_logit=-0.79,
        flagged=flagged,
    )


def flag(  # every default is what the simplest real result says
    *images: Prediction,
    reason: Reason | None = None,
    complete: bool = True,
    warnings: tuple[str, ...] = (),
    origin: Origin = Origin.LIVE,
) -> Flag:
    """The flag of a study with these images."""
    raised = any(image.flagged for image in images)
    return Flag(
        result_uid=RESULT,
        supersedes=None,
        revision=1,
        complete=complete,
        origin=origin,
        study_instance_uid=STUDY,
        accession_number="ACC1",
        status=ScreeningStatus.SCREENED if reason is None else ScreeningStatus.UNSCREENED,
        reason=reason,
        priority=Priority.HIGH if raised else None,
        priority_reason=PriorityReason.FINDING if raised else None,
        finding=FINDING if raised else None,
        warnings=warnings,
        images=images,
        model=ModelReference(name="resnet50", version="1.0.0", sha256="5e" * 32),
        created_at=datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC),
    )


def flagged_result(*, complete: bool = True) -> ScreeningResult:
    """A suspected pneumonia on one film."""
    return ScreeningResult(flag=flag(prediction(flagged=True), complete=complete), headers=(encode_header(film()),))


def waiting_result() -> ScreeningResult:
    """One film, screened, below the threshold, that nobody has read for too long."""
    raised = {"priority": Priority.HIGH, "priority_reason": PriorityReason.WAITING_TIME}
    return ScreeningResult(flag=flag(prediction()).model_copy(update=raised), headers=(encode_header(film()),))


def screened_result() -> ScreeningResult:
    """One film, screened, below the threshold."""
    return ScreeningResult(flag=flag(prediction()), headers=(encode_header(film()),))


def unscreened_result() -> ScreeningResult:
    """One film that nothing can be said of."""
    reason = Reason.LATERAL_VIEW
    flagless = flag(prediction(reason=reason), reason=reason, warnings=("age outside the model's",))
    return ScreeningResult(
        flag=flagless,
        headers=(encode_header(film()),),
        predecessor_result_uid=PREDECESSOR,
        predecessor_form=ReportForm.COMPREHENSIVE_3D_SR,
    )
