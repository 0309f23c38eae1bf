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
    try:
        commit(commitment_request(event))
    except CommitmentRequestError as error:
        return _refuse(log, error.status, error)
    except ImageError as error:  # its data set cannot be parsed
        return _refuse(log, INVALID_ARGUMENT_VALUE, error)
    except DicomIoError as error:
        return _refuse(log, RESOURCE_LIMITATION, error)
    except Exception as error:  # noqa: BLE001 - the fault is ours; the peer keeps its objects and may ask again
        fault = describe(error)
        log.error(  # noqa: TRY400 - see faults
            "commitment-refused", status=f"0x{PROCESSING_FAILURE:04X}", error=fault.error, traceback=fault.traceback
        )
        return PROCESSING_FAILURE, None
    return SUCCESS, None


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
    information = _action_information(event)
    return CommitmentRequest(
        calling_ae_title=event.assoc.requestor.ae_title,
        transaction_uid=_uid(information, "TransactionUID"),
        references=_references(information.get("ReferencedSOPSequence")),
    )


def _action_information(event: evt.Event) -> Dataset:
    encoded = event.request.ActionInformation
    if encoded is None:
        raise _invalid("The request carries no Action Information")
    if len(encoded.getbuffer()) > MAX_INFORMATION_BYTES:
        message = f"The Action Information is longer than {MAX_INFORMATION_BYTES} bytes: ask in parts"
        raise CommitmentRequestError(message, status=RESOURCE_LIMITATION)
    information = read_data_set(io.BytesIO(encoded.getvalue()), str(event.context.transfer_syntax))
    settle(information, strict=True)
    return information


def _references(sequence: Sequence[Dataset] | None) -> tuple[ObjectReference, ...]:
    if not sequence:
        raise _invalid("Referenced SOP Sequence is missing or empty")
    if len(sequence) > MAX_REFERENCES:
        message = f"{len(sequence)} objects in one request, at most {MAX_REFERENCES} are taken: ask in parts"
        raise CommitmentRequestError(message, status=RESOURCE_LIMITATION)
    named = (
        ObjectReference(_uid(item, "ReferencedSOPClassUID"), _uid(item, "ReferencedSOPInstanceUID"))
        for item in sequence
    )
    return tuple(dict.fromkeys(named))


def _uid(dataset: Dataset, keyword: str) -> str:
    # As strict as intake is with the UIDs of objects: what was taken under an odd UID can be asked for.
    value = dataset.get(keyword)
    uid = value.strip() if isinstance(value, str) else ""
    if not uid or len(uid) > _MAX_UID or not uid.isascii() or not uid.isprintable():
        raise _invalid(f"{keyword} is missing or no UID")
    return uid


def _invalid(what: str) -> CommitmentRequestError:
    return CommitmentRequestError(f"{what}; repair the sender.", status=INVALID_ARGUMENT_VALUE)


def _refuse(log: structlog.stdlib.BoundLogger, status: int, error: DicomIoError) -> tuple[int, None]:
    log.warning("commitment-refused", status=f"0x{status:04X}", error=str(error), kind=type(error).__name__)
    return status, None
