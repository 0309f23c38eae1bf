"""The storage provider and peers that hold its sockets."""

import socket

import pytest

from dicom_io.scp import StorageSCP
from dicom_io.types import ApplicationEntity


def test_a_line_that_breaks_inside_a_pdu_gives_its_place_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A peer that declares a megabyte and falls silent is disconnected, so that 64 of them do not end the service."""
    monkeypatch.setattr("dicom_io.scp.NETWORK_TIMEOUT_SECONDS", 0.2)
    with (
        StorageSCP(ApplicationEntity("CXRTRIAGE", "127.0.0.1", 0), lambda _: None) as provider,
        socket.create_connection(("127.0.0.1", provider.port), timeout=10) as peer,
    ):
        peer.sendall(b"\x01\x00" + (1 << 20).to_bytes(4) + b"half")
        assert peer.recv(1) == b""
