"""Storage commitment as user: what a provider reports on objects that we sent (PS3.4 J.3.3, Push Model)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from pydicom import Dataset
from pynetdicom import evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from dicom_io.commitment import (
    NO_SUCH_OBJECT_INSTANCE,
    NO_SUCH_SOP_CLASS,
    PROCESSING_FAILURE,
    ObjectReference,
    answer,
    information_of,
    invalid,
    reference_of,
    references_of,
    uid_of,
)
from dicom_io.errors import CommitmentRequestError

NO_SUCH_EVENT_TYPE = 0x0113
_ALL_COMMITTED, _FAILURES_EXIST = 1, 2  # PS3.4 Table J.3-3, Event Type ID

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CommitmentOutcome:
    """What came of a request of ours.

    Attributes:
        ae_title: of who reports.
        transaction_uid: of the request.
        committed: for what responsibility was taken.
        failed: for what it was not, with the Failure Reason (PS3.3 C.14.1.1).
    """

    ae_title: str
    transaction_uid: str
    committed: tuple[ObjectReference, ...]
    failed: Mapping[ObjectReference, int]


Hear = Callable[[CommitmentOutcome], None]


def handle_report(event: evt.Event, hear: Hear) -> tuple[int, None]:
    """Answer an N-EVENT-REPORT request, on an association of either side.

    Args:
        event: of pynetdicom.
        hear: takes the outcome, or raises a DicomIoError; a CommitmentRequestError names its own status, any other
            one is answered 0x0213 (resource limitation), which lets the peer report again.

    Returns:
        The status (PS3.7 10.1.1.1.8), and no Event Reply.
    """
    log = _log.bind(reporting_ae_title=event.assoc.remote["ae_title"])
    return answer(lambda: hear(commitment_outcome(event)), log, "commitment-report-refused")


def commitment_outcome(event: evt.Event) -> CommitmentOutcome:
    """Read an N-EVENT-REPORT request.

    Raises:
        CommitmentRequestError: if it is none of storage commitment, names no valid transaction or objects, or says
            success and failure at once.
        TruncatedDataError: if its Event Information ends inside an element.
        UnsupportedObjectError: if its Event Information cannot be parsed.

    Source: PS3.4 J.3.3.
    """
    request = event.request
    stated = (str(request.AffectedSOPClassUID), str(event.context.abstract_syntax))
    if stated != (StorageCommitmentPushModel, StorageCommitmentPushModel):
        raise CommitmentRequestError("No such SOP class for a report.", status=NO_SUCH_SOP_CLASS)
    if str(request.AffectedSOPInstanceUID) != StorageCommitmentPushModelInstance:
        message = "Not the well-known SOP instance of storage commitment."
        raise CommitmentRequestError(message, status=NO_SUCH_OBJECT_INSTANCE)
    if request.EventTypeID not in {_ALL_COMMITTED, _FAILURES_EXIST}:
        message = "No event but 1, successful, and 2, failures exist, is known."
        raise CommitmentRequestError(message, status=NO_SUCH_EVENT_TYPE)
    information = information_of(request.EventInformation, event.context.transfer_syntax)
    if (request.EventTypeID == _FAILURES_EXIST) != bool(information.get("FailedSOPSequence")):
        raise invalid("The event type and the Failed SOP Sequence contradict each other")
    return _outcome(information, event.assoc.remote["ae_title"])


def _outcome(information: Dataset, ae_title: str) -> CommitmentOutcome:
    failed = information.get("FailedSOPSequence") or []
    committed = information.get("ReferencedSOPSequence")
    return CommitmentOutcome(
        ae_title=ae_title,
        transaction_uid=uid_of(information, "TransactionUID"),
        committed=references_of(committed) if committed or not failed else (),
        failed={reference_of(item): int(item.get("FailureReason") or PROCESSING_FAILURE) for item in failed},
    )
