"""The Storage and Verification service class provider.

A C-STORE is answered 0x0000 only after the receiver has taken responsibility for the object; everything else is a
failure status that tells the sender whether trying again can help (PS3.4 B.2.3).
"""

import hashlib
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import structlog
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.dsutils import encode_file_meta
from pynetdicom.sop_class import Verification
from pynetdicom.transport import ThreadedAssociationServer

from dicom_io.errors import DicomIoError, ImageError, SOPMismatchError
from dicom_io.identification import Identification, identify
from dicom_io.transfer_syntaxes import ACCEPTED
from dicom_io.types import ApplicationEntity

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
CANNOT_UNDERSTAND = 0xC000

MAXIMUM_ASSOCIATIONS = 64
UNLIMITED_PDU = 0  # PS3.8 D.1: a 10 MB film in one PDU is received faster than in 600
NETWORK_TIMEOUT_SECONDS = 60

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


class _SharedPortServer(ThreadedAssociationServer):  # type: ignore[misc]
    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()


class StorageSCP:
    """Listens for C-ECHO and C-STORE until the block ends.

    Args:
        address: own AE title, address and port; port 0 takes a free one.
        receive: takes responsibility for an object, or raises a DicomIoError.
        allowed_callers: calling AE titles that are let in; empty: all. Others are rejected at association.
        share_port: let other processes listen on the same port.

    Raises:
        OSError: if the address cannot be bound.
    """

    def __init__(
        self,
        address: ApplicationEntity,
        receive: Receive,
        *,
        allowed_callers: Sequence[str] = (),
        share_port: bool = False,
    ) -> None:
        self._entity = _application_entity(address.ae_title, allowed_callers)
        handlers = [(evt.EVT_CONN_OPEN, _limit_silence), (evt.EVT_C_STORE, _handle_store, [receive])]
        self._server = self._entity.make_server(
            (address.host, address.port),
            evt_handlers=handlers,
            server_class=_SharedPortServer if share_port else ThreadedAssociationServer,
        )
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        """The TCP port that is listened on."""
        return int(self._server.socket.getsockname()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._entity.shutdown()


def _application_entity(ae_title: str, allowed_callers: Sequence[str]) -> AE:
    entity = AE(ae_title=ae_title)
    entity.maximum_pdu_size = UNLIMITED_PDU
    entity.maximum_associations = MAXIMUM_ASSOCIATIONS
    entity.network_timeout = NETWORK_TIMEOUT_SECONDS
    entity.require_calling_aet = list(allowed_callers)
    entity.add_supported_context(Verification)
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(context.abstract_syntax, list(ACCEPTED))
    return entity


def _limit_silence(event: evt.Event) -> None:
    # pynetdicom waits without end for the rest of a PDU; every line that breaks inside one would keep an association.
    event.assoc.dul.socket.socket.settimeout(NETWORK_TIMEOUT_SECONDS)


def _handle_store(event: evt.Event, receive: Receive) -> int:
    log = _log.bind(
        calling_ae_title=event.assoc.requestor.ae_title, sop_instance_uid=str(event.request.AffectedSOPInstanceUID)
    )
    try:
        received = _received(event)
        receive(received)
    except SOPMismatchError as error:
        return _refuse(log, DATA_SET_DOES_NOT_MATCH_SOP_CLASS, error)
    except ImageError as error:
        return _refuse(log, CANNOT_UNDERSTAND, error)
    except DicomIoError as error:
        return _refuse(log, OUT_OF_RESOURCES, error)
    except Exception:  # the fault is ours; the sender keeps the object and may try again
        log.exception("store-refused", status=f"0x{OUT_OF_RESOURCES:04X}")
        return OUT_OF_RESOURCES
    return SUCCESS


def _received(event: evt.Event) -> ReceivedObject:
    data_set = event.request.DataSet.getbuffer()
    syntax = str(event.context.transfer_syntax)
    identification = identify(data_set, syntax)
    _require_match(event, identification)
    return ReceivedObject(
        identification=identification,
        transfer_syntax_uid=syntax,
        calling_ae_title=event.assoc.requestor.ae_title,
        priority=int(event.request.Priority),
        file_head=b"\0" * 128 + b"DICM" + encode_file_meta(event.file_meta),
        data_set=data_set,
        content_sha256=hashlib.sha256(data_set).hexdigest(),
    )


def _require_match(event: evt.Event, identification: Identification) -> None:
    # PS3.4 B.2.3: the request's affected SOP must be the data set's.
    stated = (str(event.request.AffectedSOPClassUID), str(event.request.AffectedSOPInstanceUID))
    reference = identification.reference
    if stated != (reference.sop_class_uid, reference.sop_instance_uid):
        raise SOPMismatchError("The data set's SOP Class or Instance UID is not the request's; repair the sender.")


def _refuse(log: structlog.stdlib.BoundLogger, status: int, error: DicomIoError) -> int:
    log.warning("store-refused", status=f"0x{status:04X}", error=str(error), kind=type(error).__name__)
    return status
