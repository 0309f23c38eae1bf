"""The Storage and Verification service class provider.

A C-STORE is answered 0x0000 only after the receiver has taken responsibility for the object; everything else is a
failure status that tells the sender whether trying again can help (PS3.4 B.2.3).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from types import TracebackType
from typing import Any, Self

import structlog
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.dsutils import encode_file_meta
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from dicom_io.acceptor import Acceptor
from dicom_io.access import EVERYBODY, UNOBSERVED, USUAL, Access, Limits, Observer
from dicom_io.commitment import COMMITMENT_SYNTAXES, Commit, commit_nothing, handle_action
from dicom_io.commitment_outcome import Hear, handle_report
from dicom_io.errors import DicomIoError, ImageError, OversizedImageError, SOPMismatchError
from dicom_io.faults import describe
from dicom_io.identification import Identification, identify
from dicom_io.messages import BoundedDataSet
from dicom_io.tls import server_context
from dicom_io.transfer_syntaxes import ACCEPTED
from dicom_io.types import ApplicationEntity

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
CANNOT_UNDERSTAND = 0xC000

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ReceivedObject:
    """An object as it came over the network.

    Attributes:
        priority: of the request (0000,0700): 0 medium, 1 high, 2 low.
        file_head: preamble, prefix and file meta information to write before the data set.
        data_set: encoded, not copied.
        content_sha256: hash of `data_set`, 64 hex digits.
    """

    identification: Identification
    transfer_syntax_uid: str
    calling_ae_title: str
    priority: int
    file_head: bytes
    data_set: memoryview
    content_sha256: str


Receive = Callable[[ReceivedObject], None]


class StorageSCP:
    """Listens for C-ECHO and C-STORE until the block ends.

    Args:
        address: own AE title, address and port, and TLS; port 0 takes a free one.
        receive: takes responsibility for an object, or raises a DicomIoError.
        access: who is let in; others are turned away at the connection or the association.
        limits: on associations, sizes and times.
        observer: is told of every answer and of every connection that was turned away.
        commit: takes a storage commitment request, or raises as `handle_action` says; None: refused.
        hear: takes the outcome of a request of ours, or raises as `handle_report` says; None: refused.
        share_port: let other processes listen on the same port.

    Raises:
        OSError: if the address cannot be bound.
        TlsFilesError: if certificate or key cannot be used.
    """

    def __init__(
        self,
        address: ApplicationEntity,
        receive: Receive,
        *,
        access: Access = EVERYBODY,
        limits: Limits = USUAL,
        observer: Observer = UNOBSERVED,
        commit: Commit | None = None,
        hear: Hear | None = None,
        share_port: bool = False,
    ) -> None:
        entity = _application_entity(address.ae_title)
        handlers: list[Any] = [(evt.EVT_C_STORE, handle_store, [receive, observer])]
        if commit is not None or hear is not None:
            _support_commitment(entity, commit, hear)
            handlers.append((evt.EVT_N_ACTION, handle_action, [commit or commit_nothing]))
        if hear is not None:
            handlers.append((evt.EVT_N_EVENT_REPORT, handle_report, [hear]))
        self._acceptor = Acceptor(
            entity,
            (address.host, address.port),
            handlers,
            access=access,
            limits=limits,
            observer=observer,
            tls=None if address.tls is None else server_context(address.tls),
            share_port=share_port,
        )

    @property
    def port(self) -> int:
        """The TCP port that is listened on."""
        return int(self._acceptor.socket.getsockname()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._acceptor.stop()


def _application_entity(ae_title: str) -> AE:
    entity = AE(ae_title=ae_title)
    entity.add_supported_context(Verification)
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(context.abstract_syntax, list(ACCEPTED))
    return entity


def _support_commitment(entity: AE, commit: Commit | None, hear: Hear | None) -> None:
    # Who reports proposes itself as SCP (PS3.4 J.3.3); without role selection the caller is the one who asks.
    roles = {} if hear is None else {"scu_role": commit is not None, "scp_role": True}
    entity.add_supported_context(StorageCommitmentPushModel, COMMITMENT_SYNTAXES, **roles)


def handle_store(event: evt.Event, receive: Receive, observer: Observer = UNOBSERVED) -> int:
    """Answer a C-STORE request; on an association that we opened, the sender is the one we called (C-GET)."""
    status = _answer(event, receive)
    observer.answered(status)
    return status


def _answer(event: evt.Event, receive: Receive) -> int:
    log = _log.bind(
        calling_ae_title=event.assoc.remote["ae_title"], sop_instance_uid=str(event.request.AffectedSOPInstanceUID)
    )
    try:
        received = _received(event)
        log = log.bind(study_instance_uid=received.identification.reference.study_instance_uid)
        receive(received)
    except SOPMismatchError as error:
        return _refuse(log, DATA_SET_DOES_NOT_MATCH_SOP_CLASS, error)
    except ImageError as error:
        return _refuse(log, CANNOT_UNDERSTAND, error)
    except DicomIoError as error:
        return _refuse(log, OUT_OF_RESOURCES, error)
    except Exception as error:  # noqa: BLE001 - the fault is ours; the sender keeps the object and may try again
        fault = describe(error)
        log.error("store-refused", status=f"0x{OUT_OF_RESOURCES:04X}", error=fault.error, traceback=fault.traceback)  # noqa: TRY400 - see faults
        return OUT_OF_RESOURCES
    return SUCCESS


def _received(event: evt.Event) -> ReceivedObject:
    if isinstance(event.request.DataSet, BoundedDataSet) and event.request.DataSet.overflowed:
        raise OversizedImageError("The object is larger than listener.max_object_bytes; raise that, or do not send it.")
    data_set = event.request.DataSet.getbuffer()
    syntax = str(event.context.transfer_syntax)
    identification = identify(data_set, syntax)
    _require_match(event, identification)
    return ReceivedObject(
        identification=identification,
        transfer_syntax_uid=syntax,
        calling_ae_title=event.assoc.remote["ae_title"],
        priority=int(event.request.Priority),
        file_head=b"\0" * 128 + b"DICM" + encode_file_meta(event.file_meta),
        data_set=data_set,
        content_sha256=_content_sha256(event.request.DataSet),
    )


def _content_sha256(data_set: BytesIO) -> str:
    if isinstance(data_set, BoundedDataSet):
        return data_set.content_sha256
    return hashlib.sha256(data_set.getbuffer()).hexdigest()  # of a C-GET that we asked for: pynetdicom's own


def _require_match(event: evt.Event, identification: Identification) -> None:
    # PS3.4 B.2.3: the request's affected SOP must be the data set's.
    stated = (str(event.request.AffectedSOPClassUID), str(event.request.AffectedSOPInstanceUID))
    reference = identification.reference
    if stated != (reference.sop_class_uid, reference.sop_instance_uid):
        raise SOPMismatchError("The data set's SOP Class or Instance UID is not the request's; repair the sender.")


def _refuse(log: structlog.stdlib.BoundLogger, status: int, error: DicomIoError) -> int:
    log.warning("store-refused", status=f"0x{status:04X}", error=str(error), kind=type(error).__name__)
    return status
