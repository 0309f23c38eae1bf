"""pynetdicom's upper layer (PS3.8) with limits on time and memory, for associations that others open.

pynetdicom reads a PDU of whatever length its header states, waits without end for the rest of it, and measures time
by a clock that can be set. Here a PDU may only be as long as announced, every wait ends, and time only runs forward.
"""

import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Self

from pydicom import config
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu import A_ABORT_RQ
from pynetdicom.transport import AssociationSocket

from dicom_io.access import MAX_CONTROL_PDU_BYTES, REQUEST_SECONDS, Limits, Reason

LINGER_SECONDS = 1.0  # for the peer to read our last PDU, while what it still sends is dropped
_FIRST_BYTES = 1 << 20
_DROPPED_BYTES = 1 << 16
_HEAD = struct.Struct(">BBL")
_ITEM_HEAD = struct.Struct(">LB")
_A_ASSOCIATE_RQ, _P_DATA_TF = 0x01, 0x04
_AE_TITLES = slice(4, 36)  # called and calling (PS3.8 9.3.2); some fill them up with NUL, pynetdicom takes spaces only
# What an acceptor may be sent (PS3.8 9.3.1): A-ASSOCIATE-RQ, P-DATA-TF, A-RELEASE-RQ, A-ABORT.
_BEFORE_ASSOCIATION = (_A_ASSOCIATE_RQ, 0x07)
_IN_ASSOCIATION = (_P_DATA_TF, 0x05, 0x07)

TurnAway = Callable[[Reason, str | None], None]


class ProtocolError(ValueError):
    """A peer sent what is no message; the association ends with an A-ABORT."""


class ConnectionLostError(OSError):
    """The peer closed the connection inside a PDU."""


class ReceivedPData:
    """A P-DATA-TF as received: its presentation data values are views, not copies (PS3.8 9.3.5)."""

    def __init__(self, body: bytearray) -> None:
        self._body = memoryview(body)

    def to_primitive(self) -> Self:
        """Return itself: it goes to our own message layer."""
        return self

    def __iter__(self) -> Iterator[tuple[int, memoryview]]:
        """Yield presentation context ID and value (control header and fragment) of each item.

        Raises:
            ProtocolError: if an item runs past the PDU or holds no control header.
        """
        position = 0
        while position < len(self._body):
            if position + _ITEM_HEAD.size > len(self._body):
                raise ProtocolError("The last presentation data value of a P-DATA-TF is cut off.")
            length, context_id = _ITEM_HEAD.unpack_from(self._body, position)
            end = position + 4 + length
            if length < 2 or end > len(self._body):
                raise ProtocolError("A presentation data value does not fit its P-DATA-TF.")
            yield context_id, self._body[position + _ITEM_HEAD.size : end]
            position = end


class GuardedSocket(AssociationSocket):  # type: ignore[misc]  # pynetdicom has no types
    """A socket whose waits all end, and that is always closed."""

    @property
    def ready(self) -> bool:
        """Whether there is something to read, the end of the connection included."""
        if self.socket is None or not self._is_connected:
            return False
        poll = select.poll()  # select.select() ends at descriptor 1023
        poll.register(self.socket, select.POLLIN)
        buffered = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending() > 0
        return buffered or bool(poll.poll(0))

    def receive(self, count: int, *, idle: float, until: float) -> bytearray:
        """Read exactly `count` bytes; memory grows with what arrives, not with what is promised.

        Args:
            count: bytes.
            idle: longest wait for the next byte, seconds.
            until: monotonic time at which the whole must be there.

        Raises:
            TimeoutError: if one of them passes.
            ConnectionLostError: if the peer closes before.
        """
        buffer, filled = bytearray(min(count, _FIRST_BYTES)), 0
        while filled < count:
            if filled == len(buffer):
                buffer.extend(bytes(min(filled, count - filled)))
            with memoryview(buffer) as view, view[filled:] as rest:
                filled += self._receive_some(rest, min(idle, until - time.monotonic()))
        return buffer

    def _receive_some(self, into: memoryview, seconds: float) -> int:
        if seconds <= 0:
            raise TimeoutError
        if self.socket is None:
            raise ConnectionLostError
        self.socket.settimeout(seconds)
        count = int(self.socket.recv_into(into))
        if not count:
            raise ConnectionLostError
        return count

    def drop_some(self) -> bool:
        """Throw away what has arrived; False at the end of the connection."""
        if self.socket is None:
            return False
        self.socket.settimeout(LINGER_SECONDS)
        with suppress(OSError):
            return bool(self.socket.recv(_DROPPED_BYTES))
        return False

    def _shutdown_socket(self) -> None:
        # pynetdicom's forgets to close where the peer has gone before.
        if self.socket is not None:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            self.socket.close()


class GuardedProvider(DULServiceProvider):  # type: ignore[misc]  # pynetdicom has no types
    """The state machine of one association: reads no more than the limits, ends what breaks them.

    Args:
        assoc: the association; `at_work` tells whether a request of it is being answered.
        limits: see there.
        opened: monotonic time of the connection.
        turn_away: told once why the association was ended by us, with a detail or None.
    """

    socket: GuardedSocket

    def __init__(self, assoc: Any, limits: Limits, opened: float, turn_away: TurnAway) -> None:
        super().__init__(assoc)
        self._limits = limits
        self._tell = turn_away
        self._opened = self._heard = opened
        self._turned_away = False
        self._closing_at: float | None = None
        self.daemon = True

    def turn_away(self, reason: Reason, detail: str | None = None) -> None:
        """End the association with an A-ABORT; safe to call from any thread, the first reason counts."""
        if not self._turned_away:
            self._turned_away = True
            self._tell(reason, detail)
            self.event_queue.put("Evt19")  # invalid PDU: A-ABORT from every state, then Sta13

    def heard(self) -> None:
        """Count silence from now on, as the peer was waiting for us."""
        self._heard = time.monotonic()

    def run_reactor(self) -> None:
        """Run until the connection is closed; the association is told, as it waits without an end of its own."""
        try:
            super().run_reactor()
        except Exception as error:  # noqa: BLE001 - whatever a peer's bytes raise: its association ends, no other
            self.turn_away(Reason.PROTOCOL, type(error).__name__)
            self._abort_at_once()
        finally:
            self.to_user_queue.put(None)

    def _abort_at_once(self) -> None:
        # The state machine is broken off; PS3.8 9.3.8: source service provider, reason not specified.
        pdu = A_ABORT_RQ()
        pdu.source, pdu.reason_diagnostic = 0x02, 0x00
        self.assoc.is_aborted, self.assoc.is_established = True, False
        self.socket.send(pdu.encode())
        self.socket.close()

    def _is_transport_event(self) -> bool:
        if self.state_machine.current_state == "Sta13":
            return self._close()
        if self.assoc.at_work or not self.assoc.dimse.msg_queue.empty():
            return False  # the next object waits in the network, not in memory
        self._check_time()
        if not self._turned_away and self.socket.ready:
            self._read_pdu_data()
            self.heard()
            return True
        return False

    def _close(self) -> bool:
        # Sta13: wait for the peer to close (PS3.8 9.2.3), but not for ever.
        now = time.monotonic()
        self._closing_at = self._closing_at or now + LINGER_SECONDS
        if now > self._closing_at or not (self.socket.ready and self.socket.drop_some()):
            self.socket.close()
        return True

    def _check_time(self) -> None:
        now = time.monotonic()
        if now > self._until():
            self.turn_away(self._overdue())
        elif now > self._heard + self._limits.idle_seconds:
            self.turn_away(Reason.IDLE if self._requested() else Reason.NO_REQUEST)

    def _requested(self) -> bool:
        return self.state_machine.current_state not in {"Sta1", "Sta2"}

    def _until(self) -> float:
        return self._opened + (self._limits.association_seconds if self._requested() else REQUEST_SECONDS)

    def _overdue(self) -> Reason:
        return Reason.TOO_LONG if self._requested() else Reason.NO_REQUEST

    def _read_pdu_data(self) -> None:
        # pynetdicom's takes the same events; Evt17: the connection is closed (PS3.8 Table 9-10).
        try:
            kind, _, length = _HEAD.unpack(self._receive(_HEAD.size))
            if kind not in (_IN_ASSOCIATION if self._requested() else _BEFORE_ASSOCIATION):
                self.turn_away(Reason.PROTOCOL, f"unexpected PDU of type {kind}")
            elif length > (self._limits.pdu_bytes if kind == _P_DATA_TF else MAX_CONTROL_PDU_BYTES):
                self.turn_away(Reason.PDU_LENGTH, f"{length} bytes")
            else:
                self._take_pdu(kind, length)
        except TimeoutError:
            overdue = time.monotonic() >= self._until() or not self._requested()
            self.turn_away(self._overdue() if overdue else Reason.IDLE)
        except OSError:
            self.event_queue.put("Evt17")

    def _receive(self, count: int) -> bytearray:
        return self.socket.receive(count, idle=self._limits.idle_seconds, until=self._until())

    def _take_pdu(self, kind: int, length: int) -> None:
        body = self._receive(length)
        if kind == _A_ASSOCIATE_RQ:
            body[_AE_TITLES] = body[_AE_TITLES].replace(b"\0", b" ")
        if kind == _P_DATA_TF:
            self._recv_pdu.put(ReceivedPData(body))
            self.event_queue.put("Evt10")
            return
        try:
            with config.disable_value_validation():  # its complaints print what peers send
                pdu, event = self._decode_pdu(bytearray(_HEAD.pack(kind, 0, length)) + body)
                pdu.to_primitive()
        except Exception as error:  # noqa: BLE001 - what the parser raises for a peer's bytes is not documented
            self.turn_away(Reason.PROTOCOL, type(error).__name__)
            return
        self._recv_pdu.put(pdu)
        self.event_queue.put(event)
