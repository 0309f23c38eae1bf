"""What a real client says: a line between it and the service that keeps the client's bytes."""

import contextlib
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from dicom_io.types import ApplicationEntity
from tests.servers.ports import LOOPBACK

_CHUNK = 1 << 16


def capture(listener: ApplicationEntity, command: Sequence[str]) -> bytes:
    """Run a client through a tap; `{host}` and `{port}` in the command are replaced by the address of the tap.

    Returns:
        Every byte that the client sent.

    Raises:
        subprocess.CalledProcessError: if the client fails.
    """
    heard = bytearray()
    with socket.create_server((LOOPBACK, 0)) as server:
        tapping = threading.Thread(target=_serve_one, args=(server, listener, heard))
        tapping.start()
        port = str(server.getsockname()[1])
        words = [word.replace("{host}", LOOPBACK).replace("{port}", port) for word in command]
        subprocess.run(words, check=True, capture_output=True)
        tapping.join()
    return bytes(heard)


def association_of_storescu(program: str, listener: ApplicationEntity, *paths: Path) -> bytes:
    """Capture an association of storescu that stores files."""
    words = [program, "--required", "--call", listener.ae_title, "{host}", "{port}", *map(str, paths)]
    return capture(listener, words)


def _serve_one(server: socket.socket, listener: ApplicationEntity, heard: bytearray) -> None:
    client, _ = server.accept()
    with client, socket.create_connection((listener.host, listener.port)) as service:
        back = threading.Thread(target=_pass_on, args=(service, client, bytearray()))
        back.start()
        _pass_on(client, service, heard)
        back.join()


def _pass_on(source: socket.socket, sink: socket.socket, heard: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            heard += data
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
