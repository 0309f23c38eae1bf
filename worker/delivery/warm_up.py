"""Building a report before the first one is due: highdicom loads its templates and codes on first use."""

from datetime import UTC, datetime

from dicom_io.header import encode_header
from dicom_io.phantom import self_test_pixels
from dicom_io.secondary_capture import secondary_capture
from worker.delivery.reporting import structured_report
from worker.domain import Flag, ModelReference, Origin, Prediction, ScreeningResult, ScreeningStatus

_STUDY_INSTANCE_UID = "2.25.1"
_RESULT_UID = "2.25.2"


def warm_up() -> None:
    """Build the report of a drawn film and throw it away, so that the first real one takes no longer than the next."""
    film = secondary_capture(self_test_pixels(), _STUDY_INSTANCE_UID)
    image = Prediction(
        sop_instance_uid=str(film.SOPInstanceUID),
        content_sha256="0" * 64,
        frame=1,
        status=ScreeningStatus.SCREENED,
        probability=0.5,
        flagged=True,
    )
    flag = Flag(
        result_uid=_RESULT_UID,
        supersedes=None,
        revision=1,
        complete=True,
        origin=Origin.LIVE,
        study_instance_uid=_STUDY_INSTANCE_UID,
        accession_number=None,
        status=ScreeningStatus.SCREENED,
        reason=None,
        priority=None,
        priority_reason=None,
        finding=None,
        images=(image,),
        model=ModelReference(name="none", version="0", sha256="0" * 64),
        created_at=datetime.now(UTC),
    )
    structured_report(ScreeningResult(flag=flag, headers=(encode_header(film),)))
