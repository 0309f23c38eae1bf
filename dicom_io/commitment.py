"""Storage commitment as provider: what a request names, and how it is answered (PS3.4 J, Push Model)."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from dicom_io.errors import CommitmentRequestError, DicomIoError, ImageError
from dicom_io.faults import describe
from dicom_io.part10 import read_data_set, settle

MAX_REFERENCES = 10_000
MAX_INFORMATION_BYTES = 16 << 20  # of a request; 10,000 references need a tenth

COMMITMENT_SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]

_REQUEST_STORAGE_COMMITMENT = 1  # PS3.4 Table J.3-1, Action Type ID
_MAX_UID = 64  # PS3.5 9.1

SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
NO_SUCH_OBJECT_INSTANCE = 0x0112
INVALID_ARGUMENT_VALUE = 0x0115
NO_SUCH_SOP_CLASS = 0x0118
NO_SUCH_ACTION = 0x0123
NOT_AUTHORIZED = 0x0124
RESOURCE_LIMITATION = 0x0213

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """An object, as commitment requests and reports name it (PS3.3 10.8)."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """What an application entity wants us to take responsibility for; 1 to `MAX_REFERENCES` references, each once."""

    calling_ae_title: str
    transaction_uid: str
    references: tuple[ObjectReference, ...]


Commit = Callable[[CommitmentRequest], None]


def commit_nothing(_: CommitmentRequest) -> None:
    """Take no request, where only reports are heard.

    Raises:
        CommitmentRequestError: always.
    """
    raise CommitmentRequestError("Storage commitment is not offered here.", status=NOT_AUTHORIZED)


def handle_action(event: evt.Event, commit: Commit) -> tuple[int, None]:
    """Answer an N-ACTION request.

    Args:
        event: of pynetdicom.
        commit: takes the request, or raises a DicomIoError; a CommitmentRequestError names its own status, any other
            one is answered 0x0213 (resource limitation), which lets the peer try again.

    Returns:
        The status (PS3.4 Table J.3-2, PS3.7 10.1.4.1.10), and no Action Reply.
    """
    log = _log.bind(calling_ae_title=event.assoc.requestor.ae_title)
    return answer(lambda: commit(commitment_request(event)), log, "commitment-refused")


def answer(take: Callable[[], None], log: structlog.stdlib.BoundLogger, refusal: str) -> tuple[int, None]:
    """Take a message of the Storage Commitment Service Class, and say how it is answered.

    Args:
        take: parses and takes it, or raises as `handle_action` says.
        log: where a refusal is told.
        refusal: the name of that event.

    Returns:
        The status, and no reply.
    """
    try:
        take()
    except DicomIoError as error:
        status = _status_of(error)
        log.warning(refusal, status=f"0x{status:04X}", error=str(error), kind=type(error).__name__)
        return status, None
    except Exception as error:  # noqa: BLE001 - the fault is ours; the peer keeps its objects and may try again
        fault = describe(error)
        log.error(refusal, status=f"0x{PROCESSING_FAILURE:04X}", error=fault.error, traceback=fault.traceback)  # noqa: TRY400 - see faults
        return PROCESSING_FAILURE, None
    return SUCCESS, None


def _status_of(error: DicomIoError) -> int:
    if isinstance(error, CommitmentRequestError):
        return error.status
    return INVALID_ARGUMENT_VALUE if isinstance(error, ImageError) else RESOURCE_LIMITATION  # parsed in vain, or ours


def commitment_request(event: evt.Event) -> CommitmentRequest:
    """Read an N-ACTION request.

    Raises:
        CommitmentRequestError: if it is none for storage commitment, or names no valid transaction or objects.
        TruncatedDataError: if its Action Information ends inside an element.
        UnsupportedObjectError: if its Action Information cannot be parsed.

    Source: PS3.4 J.3.2.
    """
    request = event.request
    stated = (str(request.RequestedSOPClassUID), str(event.context.abstract_syntax))
    if stated != (StorageCommitmentPushModel, StorageCommitmentPushModel):
        raise CommitmentRequestError("No such SOP class for an action.", status=NO_SUCH_SOP_CLASS)
    if str(request.RequestedSOPInstanceUID) != StorageCommitmentPushModelInstance:
        raise CommitmentRequestError(
            "Not the well-known SOP instance of storage commitment.", status=NO_SUCH_OBJECT_INSTANCE
        )
    if request.ActionTypeID != _REQUEST_STORAGE_COMMITMENT:
        raise CommitmentRequestError("No action but 1, Request Storage Commitment, is known.", status=NO_SUCH_ACTION)
    information = information_of(event.request.ActionInformation, event.context.transfer_syntax)
    return CommitmentRequest(
        calling_ae_title=event.assoc.requestor.ae_title,
        transaction_uid=uid_of(information, "TransactionUID"),
        references=references_of(information.get("ReferencedSOPSequence")),
    )


def information_of(encoded: io.BytesIO | None, transfer_syntax_uid: str) -> Dataset:
    """Read what an N-ACTION or N-EVENT-REPORT request carries.

    Raises:
        CommitmentRequestError: if it is absent, or longer than `MAX_INFORMATION_BYTES`.
        TruncatedDataError: if it ends inside an element.
        UnsupportedObjectError: if it cannot be parsed.
    """
    if encoded is None:
        raise invalid("The request carries no information")
    if len(encoded.getbuffer()) > MAX_INFORMATION_BYTES:
        message = f"The information is longer than {MAX_INFORMATION_BYTES} bytes: send it in parts"
        raise CommitmentRequestError(message, status=RESOURCE_LIMITATION)
    information = read_data_set(io.BytesIO(encoded.getvalue()), str(transfer_syntax_uid))
    settle(information, strict=True)
    return information


def references_of(sequence: Sequence[Dataset] | None) -> tuple[ObjectReference, ...]:
    """Return the objects that a Referenced SOP Sequence names, each once.

    Raises:
        CommitmentRequestError: if there is none, one is no UID, or they are more than `MAX_REFERENCES`.
    """
    if not sequence:
        raise invalid("Referenced SOP Sequence is missing or empty")
    if len(sequence) > MAX_REFERENCES:
        message = f"{len(sequence)} objects in one request, at most {MAX_REFERENCES} are taken: send it in parts"
        raise CommitmentRequestError(message, status=RESOURCE_LIMITATION)
    return tuple(dict.fromkeys(reference_of(item) for item in sequence))


def reference_of(item: Dataset) -> ObjectReference:
    """Return the object that an item names.

    Raises:
        CommitmentRequestError: if it names none.
    """
    return ObjectReference(uid_of(item, "ReferencedSOPClassUID"), uid_of(item, "ReferencedSOPInstanceUID"))


def item_of(reference: ObjectReference) -> Dataset:
    """Return the item that names an object (PS3.3 10.8)."""
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    return item


def uid_of(dataset: Dataset, keyword: str) -> str:
    """Return a UID, as strictly as intake is with those of objects: what was taken under an odd one can be asked for.

    Raises:
        CommitmentRequestError: if it is missing or none.
    """
    value = dataset.get(keyword)
    uid = value.strip() if isinstance(value, str) else ""
    if not uid or len(uid) > _MAX_UID or not uid.isascii() or not uid.isprintable():
        raise invalid(f"{keyword} is missing or no UID")
    return uid


def invalid(what: str) -> CommitmentRequestError:
    """Return the error for a message that the sender must repair."""
    return CommitmentRequestError(f"{what}; repair the sender.", status=INVALID_ARGUMENT_VALUE)
