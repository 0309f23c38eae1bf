"""A sender that is no bottleneck: encodes nothing and reads no file, only patches UIDs and hands memory to the kernel.

Each association is a process of its own. It sends PDUs as long as the peer takes them (PS3.8 D.1), and an object only
after the one before it was answered, as modalities do.
"""

import multiprocessing
import os
import socket
import struct
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from pydicom import Dataset, uid
from pynetdicom.dsutils import encode
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ, A_RELEASE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    A_RELEASE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import build_context

from dicom_io.phantom import phantom_dataset
from dicom_io.types import ApplicationEntity

_CONTEXT = 1
_ASSOCIATE_AC, _P_DATA = 2, 4
_COMMAND, _LAST = 1, 2  # PS3.8 E.2
_STATUS = struct.pack("<HHI", 0x0000, 0x0900, 2)  # PS3.7 E.1, implicit little endian
_OWN_LIMIT = 1 << 30  # where the peer states no limit
_PLACEHOLDERS = ("2.25.1" + "0" * 37, "2.25.2" + "0" * 37)


@dataclass(frozen=True, slots=True)
class Sent:
    """What one run of senders took: seconds by the wall clock, and processor seconds of the senders."""

    seconds: float
    processor_seconds: float


def drawn_film(rows: int, columns: int) -> bytearray:
    """Draw an uncompressed film, encoded, whose Study and SOP Instance UIDs are placeholders to be patched."""
    film = phantom_dataset(1, kind="CR", rows=rows, columns=columns, study_instance_uid=_PLACEHOLDERS[0])
    film.SOPInstanceUID = _PLACEHOLDERS[1]
    return bytearray(encode(film, False, True) or b"")


def send(peer: ApplicationEntity, film: bytearray, *, count: int, associations: int, pdu: int = _OWN_LIMIT) -> Sent:
    """Send `count` films with UIDs of their own, spread over associations that start together.

    Args:
        peer: where to.
        film: see `drawn_film`.
        count: of all associations together; a multiple of `associations`.
        associations: at a time, each a process.
        pdu: longest PDU that the sender would send.

    Raises:
        RuntimeError: if a film is not answered 0x0000.
    """
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe() for _ in range(associations)]
    shares = [(peer, film, count // associations, pdu, theirs) for _, theirs in pipes]
    processes = [context.Process(target=_run, args=share) for share in shares]
    for process in processes:
        process.start()
    ours = [pipe for pipe, _ in pipes]
    _answers(ours)  # every association stands
    start = time.monotonic()
    for pipe in ours:
        pipe.send("go")
    costs = _answers(ours)
    seconds = time.monotonic() - start
    for process in processes:
        process.join()
    return Sent(seconds, sum(costs))


def _answers(pipes: Sequence[Connection]) -> list[float]:
    answers = [pipe.recv() for pipe in pipes]
    faults = [answer for answer in answers if isinstance(answer, str)]
    if faults:
        raise RuntimeError(faults[0])
    return answers


def _run(peer: ApplicationEntity, film: bytearray, count: int, pdu: int, pipe: Connection) -> None:
    try:
        with socket.create_connection((peer.host, peer.port), timeout=120) as line:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as DCMTK does; else heads wait for ACKs
            limit = min(_associate(line, peer) or _OWN_LIMIT, pdu)
            pipe.send(0.0)
            pipe.recv()
            before = sum(os.times()[:2])
            for _ in range(count):
                _store(line, film, limit)
            pipe.send(sum(os.times()[:2]) - before)
            line.sendall(A_RELEASE_RQ(A_RELEASE()).encode())
            _read_pdu(line)
    except (OSError, RuntimeError) as error:
        pipe.send(f"{peer.ae_title}: {error}")


def _associate(line: socket.socket, peer: ApplicationEntity) -> int:
    context = build_context(uid.ComputedRadiographyImageStorage, uid.ExplicitVRLittleEndian)
    context.context_id = _CONTEXT
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received, implementation.implementation_class_uid = 16384, uid.UID("2.25.3")
    request = A_ASSOCIATE()
    request.application_context_name = uid.UID("1.2.840.10008.3.1.1.1")
    request.calling_ae_title, request.called_ae_title = "BENCH", peer.ae_title
    request.presentation_context_definition_list = [context]
    request.user_information = [length, implementation]
    line.sendall(A_ASSOCIATE_RQ(request).encode())
    kind, answer = _read_pdu(line)
    if kind != _ASSOCIATE_AC:
        raise RuntimeError(f"answered the association with PDU type {kind}")
    accepted = A_ASSOCIATE_AC()
    accepted.decode(struct.pack(">BxI", kind, len(answer)) + answer)
    return int(accepted.user_information.maximum_length)


def _store(line: socket.socket, film: bytearray, limit: int) -> None:
    fresh = f"2.25.1{uuid.uuid4().int % 10**37:037}", f"2.25.2{uuid.uuid4().int % 10**37:037}"
    data = film[:]
    for placeholder, value in zip(_PLACEHOLDERS, fresh, strict=True):
        position = film.index(placeholder.encode(), 0, 4096)
        data[position : position + len(value)] = value.encode()
    for head, part in [*_pdus(_command(fresh[1]), _COMMAND, limit), *_pdus(data, 0, limit)]:
        line.sendall(head)
        line.sendall(part)
    kind, answer = _read_pdu(line)
    position = answer.find(_STATUS) + len(_STATUS)
    if kind != _P_DATA or answer[position : position + 2] != b"\0\0":
        raise RuntimeError(f"answered the C-STORE with PDU type {kind}, {answer[position : position + 2].hex()}")


def _command(sop_instance_uid: str) -> bytes:
    command = Dataset()
    command.AffectedSOPClassUID, command.AffectedSOPInstanceUID = uid.ComputedRadiographyImageStorage, sop_instance_uid
    command.CommandField, command.MessageID, command.Priority, command.CommandDataSetType = 1, 1, 0, 0
    body = encode(command, True, True) or b""
    return struct.pack("<HHII", 0x0000, 0x0000, 4, len(body)) + body


def _pdus(data: bytes | bytearray, kind: int, limit: int) -> Iterator[tuple[bytes, memoryview]]:
    view, size = memoryview(data), limit - 6  # a PDV's own head counts (PS3.8 9.3.5)
    for start in range(0, len(view), size):
        part = view[start : start + size]
        control = kind | (_LAST if start + size >= len(view) else 0)
        yield struct.pack(">BxIIBB", _P_DATA, len(part) + 6, len(part) + 2, _CONTEXT, control), part


def _read_pdu(line: socket.socket) -> tuple[int, bytes]:
    kind, length = struct.unpack(">BxI", _read(line, 6))
    return kind, _read(line, length)


def _read(line: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = line.recv(size - len(data))
        if not part:
            raise RuntimeError("closed the connection")
        data += part
    return data
