"""The door: connections come in, are judged and counted, and become associations that end.

pynetdicom's server makes the TLS handshake where it accepts, so that one silent peer holds up all others, counts
silent connections as associations, and starts two threads for each of any number of them. Here the handshake has a
thread of its own, connections without an association have a room of their own, and when that is full the one that has
been silent for the longest gives way.
"""

import ssl
import sys
import threading
import time
from collections.abc import Sequence
from socket import SO_REUSEPORT, SOL_SOCKET
from socketserver import BaseServer
from typing import Any

import structlog
from pynetdicom import AE
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.acse import ACSE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.transport import AddressInformation, AssociationServer

from dicom_io.access import REQUEST_SECONDS, Access, Limits, Observer, Reason
from dicom_io.connections import Connection, Connections
from dicom_io.messages import GuardedMessages
from dicom_io.negotiation import in_callers_order
from dicom_io.tls import describe
from dicom_io.upper_layer import GuardedProvider, GuardedSocket

CANNOT_UNDERSTAND = 0xC000
SOP_CLASS_NOT_SUPPORTED = 0x0122
_OF_A_UID = frozenset("0123456789.")  # PS3.5 9.1
_STOP_SECONDS = 5.0
_POLL_SECONDS = 0.1
# Result, source, reason of an A-ASSOCIATE-RJ (PS3.8 Table 9-21): permanent by the user, transient by the presentation.
_REJECTIONS = {
    Reason.CALLING_AE_TITLE: (1, 1, 3),
    Reason.CALLED_AE_TITLE: (1, 1, 7),
    Reason.TOO_MANY: (2, 3, 2),
}

_log = structlog.get_logger()


class _Negotiation(ACSE):  # type: ignore[misc]  # pynetdicom has no types
    def _negotiate_as_acceptor(self) -> None:
        reason = self.assoc.judge()
        if reason is None:
            ours, proposed = self.acceptor.supported_contexts, self.requestor.primitive
            self.acceptor.supported_contexts = in_callers_order(ours, proposed.presentation_context_definition_list)
            super()._negotiate_as_acceptor()
            self.assoc.was_established = self.assoc.is_established
            return
        self.assoc.connection.tell(reason, None)
        self.send_reject(*_REJECTIONS[reason])
        self.assoc.kill()


class GuardedAssociation(Association):  # type: ignore[misc]  # pynetdicom has no types
    """An association that a peer opened; ends within its limits and leaves nothing open.

    Attributes:
        at_work: whether a request is being answered.
        was_established: whether it was ever accepted.
    """

    def __init__(self, server: "Acceptor", connection: Connection) -> None:
        super().__init__(server.ae, MODE_ACCEPTOR)
        self._server, self.connection = server, connection
        self.at_work = self.was_established = False
        self.dul = GuardedProvider(self, server.limits, connection.opened, connection.tell)
        self.dimse = GuardedMessages(self, server.limits)
        self.acse = _Negotiation(self)
        self.acse_timeout = self.network_timeout = None  # time is our provider's business
        self.name = f"AcceptorThread@{connection.address[0]}"  # pynetdicom finds its threads by this name
        self.set_socket(GuardedSocket(self, client_socket=connection.socket))
        self._describe(server)

    def _describe(self, server: "Acceptor") -> None:
        self.acceptor.maximum_length = server.limits.pdu_bytes
        self.acceptor.ae_title = server.ae_title
        self.acceptor.address_info = AddressInformation.from_tuple(server.server_address)
        self.acceptor.implementation_class_uid = self.ae.implementation_class_uid
        self.acceptor.implementation_version_name = self.ae.implementation_version_name
        self.acceptor.supported_contexts = server.contexts
        self.requestor.address_info = AddressInformation.from_tuple(self.connection.address)
        for event, handlers in server._handlers.items():  # noqa: SLF001 - as pynetdicom's own handler does
            if event.is_intervention:
                self.bind(event, *handlers)
            else:
                for handler in handlers:
                    self.bind(event, *handler)

    @property
    def caller(self) -> str | None:
        """Calling AE title, once the request is there."""
        request = self.requestor.primitive
        return None if request is None else str(request.calling_ae_title).strip()

    def judge(self) -> Reason | None:
        """Say why the association is rejected; None: it takes one of the places."""
        request = self.requestor.primitive
        reason = self._server.access.rejection(request.calling_ae_title, request.called_ae_title)
        if reason is None and not self._server.connections.associate(self.connection):
            return Reason.TOO_MANY
        return reason

    def run_reactor(self) -> None:
        """Serve the association from its request to its end."""
        try:
            super().run_reactor()
        except Exception as error:  # noqa: BLE001 - a fault of one association must not leave its connection open
            self.dul.turn_away(Reason.PROTOCOL, type(error).__name__)
        finally:
            self._end()

    def _end(self) -> None:
        if self.dul.is_alive():
            self.dul.join()
        if self.was_established and not self.is_released:
            self.connection.tell(Reason.ABORTED, None)
        self.dul.socket._shutdown_socket()  # noqa: SLF001 - still open where the provider could not start
        self._server.connections.leave(self.connection)

    def _serve_request(self, msg: Any, context_id: int) -> None:
        self.at_work = True
        try:
            status = self._unfit(msg, context_id)
            if status is None:
                super()._serve_request(msg, context_id)
            else:
                self._refuse(msg, context_id, status)
        finally:
            self.dul.heard()
            self.at_work = False

    def _unfit(self, msg: Any, context_id: int) -> int | None:
        # pynetdicom leaves an incomplete request without answer, and serves one of another class than negotiated.
        context = self._accepted_cx.get(context_id)
        if not isinstance(msg, C_STORE) or msg.MessageID is None or context is None:
            if not msg.is_valid_request:
                self.dul.turn_away(Reason.PROTOCOL, "incomplete request")
            return None
        if not msg.is_valid_request or not set(msg.AffectedSOPInstanceUID) <= _OF_A_UID:
            return CANNOT_UNDERSTAND
        return None if msg.AffectedSOPClassUID == context.abstract_syntax else SOP_CLASS_NOT_SUPPORTED

    def _refuse(self, msg: C_STORE, context_id: int, status: int) -> None:
        response = C_STORE()
        response.MessageID = response.MessageIDBeingRespondedTo = msg.MessageID
        response.Status = status
        self.dimse.send_msg(response, context_id)
        error = "The C-STORE request lacks an element, holds a UID that is none, or names a class not negotiated."
        _log.warning("store-refused", calling_ae_title=self.caller, status=f"0x{status:04X}", error=error)
        self.connection.observer.answered(status)


class Acceptor(AssociationServer):  # type: ignore[misc]  # pynetdicom has no types
    """Listens, and gives every connection threads of its own, the TLS handshake included.

    Args:
        entity: with its supported contexts.
        address: host and port to bind; port 0 takes a free one.
        handlers: pynetdicom's event handlers.
        access: who is let in.
        limits: how much of it.
        observer: who counts.
        tls: None for plain TCP.
        share_port: let other processes listen on the same port; the kernel deals the connections out.

    Raises:
        OSError: if the address cannot be bound.
    """

    request_queue_size = 128

    def __init__(
        self,
        entity: AE,
        address: tuple[str, int],
        handlers: Sequence[Any],
        *,
        access: Access,
        limits: Limits,
        observer: Observer,
        tls: ssl.SSLContext | None,
        share_port: bool = False,
    ) -> None:
        self.access, self.limits, self.observer, self._tls = access, limits, observer, tls
        self._share_port = share_port
        self.connections = Connections(limits.associations)
        entity.maximum_associations = sys.maxsize  # pynetdicom counts the silent ones, too
        super().__init__(entity, address, entity.ae_title, entity.supported_contexts, evt_handlers=list(handlers))
        threading.Thread(target=self.serve_forever, args=(_POLL_SECONDS,), name="Acceptor", daemon=True).start()

    def server_bind(self) -> None:
        """Bind the address."""
        if self._share_port:
            self.socket.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1)
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Judge the address, and hand the connection to a thread of its own; nothing is read here."""
        connection = Connection(request, client_address, self.observer)
        if not self.access.admits(client_address[0]):
            connection.turn_away(Reason.ADDRESS)
            request.close()
            return
        oldest = self.connections.enter(connection)
        if oldest is not None:
            oldest.turn_away(Reason.NO_ROOM)
        threading.Thread(target=self._begin, args=(connection,), name="Connection", daemon=True).start()

    def _begin(self, connection: Connection) -> None:
        if self._tls is None or self._shake_hands(connection, self._tls):
            connection.association = GuardedAssociation(self, connection)
            connection.association.start()
        else:
            connection.socket.close()
            self.connections.leave(connection)

    def _shake_hands(self, connection: Connection, context: ssl.SSLContext) -> bool:
        try:
            connection.socket.settimeout(REQUEST_SECONDS)
            secured = context.wrap_socket(connection.socket, server_side=True, do_handshake_on_connect=False)
            connection.socket = secured
            secured.do_handshake()
        except (ssl.SSLEOFError, ConnectionError):
            return False  # the peer has gone: a probe that only knocks, as without TLS
        except OSError as error:
            connection.tell(Reason.TLS, describe(error))
            return False
        return True

    def stop(self) -> None:
        """Take no more connections, and end those that are open."""
        BaseServer.shutdown(self)
        self.server_close()
        connections = self.connections.all()
        for connection in connections:
            connection.turn_away(Reason.STOPPING)
        end = time.monotonic() + _STOP_SECONDS
        for connection in connections:
            if connection.association is not None:
                connection.association.join(max(end - time.monotonic(), 0))
