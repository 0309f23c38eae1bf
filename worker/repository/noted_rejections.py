"""What a rejection note said of an object that had not come yet."""

from sqlalchemy import ScalarSelect, exists, select

from dicom_io.rejection import Rejection
from worker.tables import Image, RejectedInstance, Study

WRONG_PATIENT = tuple(rejection for rejection in Rejection if not rejection.right_patient)


def noted_rejection(
    study_instance_uid: str, sop_instance_uid: str, *, image_id: int | None = None
) -> ScalarSelect[str | None]:
    """Return the expression for the title of the note that an object meets at its arrival; null if it meets none.

    Args:
        study_instance_uid: of the object.
        sop_instance_uid: of the object. A note is of no concern to other bytes that come under a known UID.
        image_id: of the object's row, where it has one already.
    """
    known = exists().where(
        Image.study_id == Study.id,
        Study.study_instance_uid == study_instance_uid,
        Image.sop_instance_uid == sop_instance_uid,
        *(() if image_id is None else (Image.id < image_id,)),
    )
    noted = select(RejectedInstance.code).where(
        RejectedInstance.sop_instance_uid == sop_instance_uid,
        RejectedInstance.study_instance_uid == study_instance_uid,
        ~known,
    )
    gravest = noted.order_by(RejectedInstance.code.in_(WRONG_PATIENT).desc(), RejectedInstance.received_at.desc())
    return gravest.limit(1).scalar_subquery()
