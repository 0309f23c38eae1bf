"""From a result of the service to its DICOM structured report."""

from io import BytesIO

from pydicom import Dataset

from dicom_io.errors import MissingAttributeError
from dicom_io.part10 import tolerant
from dicom_io.reasons import Reason
from dicom_io.report import ReportForm, ScreenedImage, ScreeningReport
from dicom_io.result_picture import build_picture
from dicom_io.sr import build_sr
from worker.domain import Prediction, PriorityReason, ScreeningResult, ScreeningStatus
from worker.errors import DeliveryRefusedError


def structured_report(result: ScreeningResult) -> Dataset:
    """Build the report of a result in its best form; see `report_as`."""
    return report_as(ReportForm.COMPREHENSIVE_3D_SR, result)


def report_as(form: ReportForm, result: ScreeningResult) -> Dataset:
    """Build the report of a result; the same form and result give the same bytes.

    Raises:
        DeliveryRefusedError: if the result has no DICOM source image to report on.
    """
    if not result.has_dicom_source:
        raise DeliveryRefusedError("No structured report can be made: no image of the result came as DICOM.")
    try:
        if form.is_structured:
            return build_sr(screening_report(result), result.headers, result.newest_header, form)
        return build_picture(screening_report(result), result.newest_header or result.headers[0])
    except MissingAttributeError as error:
        raise DeliveryRefusedError(f"No structured report can be made: {error}") from error


def encode_file(dataset: Dataset) -> bytes:
    """Encode an object as a DICOM file (PS3.10 7), its values as they are; the same object gives the same bytes."""
    file = BytesIO()
    with tolerant():
        dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def screening_report(result: ScreeningResult) -> ScreeningReport:
    """Return what the result states, as the DICOM objects that are made of it need it."""
    flag = result.flag
    return ScreeningReport(
        result_uid=flag.result_uid,
        predecessor_result_uid=result.predecessor_result_uid,
        complete=flag.complete,
        reason=_reason(flag.status, flag.reason),
        flagged=flag.priority_reason is PriorityReason.FINDING,
        waiting=flag.priority_reason is PriorityReason.WAITING_TIME,
        warnings=flag.warnings,
        images=[_image(image, image.sop_instance_uid) for image in flag.images if image.sop_instance_uid is not None],
        model_name=flag.model.name,
        model_version=flag.model.version,
        model_sha256=flag.model.sha256,
        created_at=flag.created_at,
        withdrawn=flag.withdrawn,
        corrections=result.corrections,
        predecessor_corrections=result.predecessor_corrections,
        predecessor_form=result.predecessor_form,
    )


def _image(image: Prediction, sop_instance_uid: str) -> ScreenedImage:
    return ScreenedImage(
        sop_instance_uid=sop_instance_uid,
        frame=image.frame,
        reason=_reason(image.status, image.reason),
        flagged=image.flagged and not image.withdrawn,
        probability=image.probability,
        threshold=image.threshold,
        withdrawn=image.withdrawn,
    )


def _reason(status: ScreeningStatus, reason: Reason | None) -> Reason | None:
    """Return why something was not screened; never None for what was not."""
    return None if status is ScreeningStatus.SCREENED else reason or Reason.INCOMPLETE
