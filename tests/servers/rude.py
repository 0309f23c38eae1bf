"""A DICOM caller that says what it is told to say, byte for byte: real clients cannot be made to misbehave."""

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pydicom import Dataset, config, uid
from pynetdicom import build_context
from pynetdicom.dsutils import encode
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification

from tests.servers.ports import LOOPBACK

CR = str(uid.ComputedRadiographyImageStorage)
EXPLICIT = str(uid.ExplicitVRLittleEndian)
ACCEPT, REJECT, P_DATA, RELEASE_RP, ABORT = 0x02, 0x03, 0x04, 0x06, 0x07
RELEASE_RQ = b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00"
ABORT_PDU = b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00"
C_STORE_RQ = 0x0001


def association_request(
    calling: str = "PACS1", called: str = "CXRTRIAGE", contexts: Sequence[tuple[str, str]] = ((CR, EXPLICIT),)
) -> bytes:
    """An A-ASSOCIATE-RQ; the presentation contexts have the numbers 1, 3, 5 ..."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = calling, called
    primitive.calling_presentation_address = primitive.called_presentation_address = None
    proposed = [build_context(*context) for context in contexts]
    for number, context in enumerate(proposed):
        context.context_id = 2 * number + 1
    primitive.presentation_context_definition_list = proposed
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = 0
    implementation.implementation_class_uid = "1.2.3"
    primitive.user_information = [length, implementation]
    return bytes(A_ASSOCIATE_RQ(primitive).encode())


def store_request(sop_instance_uid: str | None, *, message_id: int | None = 1, **others: object) -> bytes:
    """The command set of a C-STORE-RQ; None leaves an element out."""
    command = Dataset()
    command.CommandGroupLength = 0
    command.CommandField = C_STORE_RQ
    elements = {
        "AffectedSOPClassUID": CR,
        "MessageID": message_id,
        "Priority": 0,
        "CommandDataSetType": 0x0001,
        "AffectedSOPInstanceUID": sop_instance_uid,
    }
    with config.disable_value_validation():
        for keyword, value in (elements | others).items():
            if value is not None:
                setattr(command, keyword, value)
        raw = encode(command, True, True)
    assert raw is not None
    return raw


def fragment(value: bytes, *, command: bool = False, last: bool = True, context_id: int = 1) -> bytes:
    """A presentation data value item (PS3.8 9.3.5.1)."""
    control = (0x01 if command else 0) | (0x02 if last else 0)
    return struct.pack(">LBB", len(value) + 2, context_id, control) + value


def p_data(*items: bytes) -> bytes:
    """A P-DATA-TF of these items."""
    body = b"".join(items)
    return struct.pack(">BBL", P_DATA, 0, len(body)) + body


def store_message(dataset: Dataset, message_id: int = 1) -> bytes:
    """A whole C-STORE request with its data set, in explicit little endian."""
    raw = encode(dataset, False, True)
    assert raw is not None
    command = store_request(str(dataset.SOPInstanceUID), message_id=message_id)
    return p_data(fragment(command, command=True)) + p_data(fragment(raw))


@dataclass
class RudePeer:
    """A connection to a listener."""

    socket: socket.socket

    def send(self, *data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(b"".join(data))

    def receive(self) -> tuple[int, bytes]:
        """The next PDU: type and body; type 0 where the connection is closed instead."""
        try:
            head = self._exactly(6)
            return (head[0], self._exactly(int.from_bytes(head[2:]))) if head else (0, b"")
        except ConnectionError:
            return 0, b""

    def status(self) -> int:
        """The status of the next C-STORE-RSP; -1 where another PDU came."""
        kind, body = self.receive()
        at = body.find(b"\x00\x00\x00\x09\x02\x00\x00\x00")  # (0000,0900), two bytes, implicit little endian
        return int.from_bytes(body[at + 8 : at + 10], "little") if kind == P_DATA and at >= 0 else -1

    def associate(self, **request: object) -> int:
        """Ask for an association; the type of the answer."""
        self.send(association_request(**request))  # type: ignore[arg-type]
        return self.receive()[0]

    def is_closed(self, seconds: float = 5) -> bool:
        """Whether the listener closes the connection within so many seconds; what it says before is dropped."""
        self.socket.settimeout(seconds)
        try:
            while self.socket.recv(1 << 16):
                pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count and (more := self.socket.recv(count - len(data))):
            data += more
        return data


@contextmanager
def rude_peer(port: int, seconds: float = 10) -> Iterator[RudePeer]:
    """Connect to a listener of the loopback interface."""
    with socket.create_connection((LOOPBACK, port), timeout=seconds) as connection:
        yield RudePeer(connection)
