"""pynetdicom's message layer (PS3.7) with limits on memory: a message is put together from fragments as they come."""

from hashlib import sha256
from io import BytesIO

from pydicom import config
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import DimsePrimitiveType
from pynetdicom.pdu_primitives import P_DATA

from dicom_io.access import MAX_COMMAND_SET_BYTES, Limits
from dicom_io.upper_layer import ProtocolError, ReceivedPData

_IS_COMMAND = 0x01  # PS3.8 E.2, bit 0 of the message control header


class BoundedDataSet(BytesIO):
    """An encoded data set; once it grows past its limit it is let go, and the rest of it dropped as it comes.

    It is hashed as it comes: while the network brings the rest, and while the fragment is in the processor's caches.

    Attributes:
        overflowed: whether that has happened.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self.overflowed = False
        self._sha256 = sha256()

    @property
    def content_sha256(self) -> str:
        """Hash of all that was written, 64 hex digits."""
        return self._sha256.hexdigest()

    def write(self, fragment: bytes | memoryview) -> int:  # type: ignore[override]
        """Append a fragment, or drop it."""
        if not self.overflowed and self.tell() + len(fragment) <= self._most:
            self._sha256.update(fragment)
            return super().write(fragment)
        self.overflowed = True
        self.seek(0)
        self.truncate()
        return len(fragment)


class _CommandSet(BytesIO):
    def write(self, fragment: bytes | memoryview) -> int:  # type: ignore[override]
        if self.tell() + len(fragment) > MAX_COMMAND_SET_BYTES:
            raise ProtocolError(f"A command set is longer than {MAX_COMMAND_SET_BYTES} bytes.")
        return super().write(fragment)


class GuardedMessages(DIMSEServiceProvider):  # type: ignore[misc]  # pynetdicom has no types
    """The messages of one association: fragments in, whole messages out.

    pynetdicom's takes the first message of a P-DATA-TF and loses what follows it, and keeps any amount.
    """

    message: DIMSEMessage | None

    def __init__(self, assoc: object, limits: Limits) -> None:
        super().__init__(assoc)
        self._limits = limits

    def receive_primitive(self, received: ReceivedPData) -> None:
        """Take the fragments of a P-DATA-TF.

        Raises:
            ProtocolError: if they are no message, or the command set is too long.
            Exception: whatever pydicom and pynetdicom raise for a command set that is none.
        """
        for context_id, value in received:
            self._take(context_id, value)

    def _take(self, context_id: int, value: memoryview) -> None:
        if self.message is None:
            self.message = self._new_message()
        expects_data = self.message.context_id is not None
        if expects_data == bool(value[0] & _IS_COMMAND) or context_id != (self.message.context_id or context_id):
            raise ProtocolError("The fragments of a message are out of order.")
        primitive = P_DATA()
        primitive.presentation_data_value_list.append((context_id, value))
        with config.disable_value_validation():  # its complaints print what peers send
            if self.message.decode_msg(primitive, self.assoc):
                message, self.message = self.message, None
                self.msg_queue.put((message.context_id, message.message_to_primitive()))

    def send_msg(self, primitive: DimsePrimitiveType, context_id: int) -> None:
        """Send an answer; it names the object as the request did, however that was."""
        with config.disable_value_validation():
            super().send_msg(primitive, context_id)

    def _new_message(self) -> DIMSEMessage:
        message = DIMSEMessage()
        message.encoded_command_set = _CommandSet()
        message.data_set = BoundedDataSet(self._limits.object_bytes)
        return message
