"""C-ECHO and C-STORE to real peers, kind and unkind ones."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread, uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    Verification,
)

from dicom_io.errors import PeerUnreachableError, StoreRefusedError
from dicom_io.identity import content_sha256, file_meta
from dicom_io.phantom import phantom_dataset
from dicom_io.scu import echo, store, store_files
from dicom_io.types import ApplicationEntity
from tests.servers.ports import LOOPBACK
from tests.servers.storescp import StartStoreScp

# pynetdicom drops the socket of a refused connection without closing it.
UNCLOSED = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")


@contextmanager
def answering(status: int, *, after: Callable[[], object] = lambda: None) -> Iterator[ApplicationEntity]:
    """A peer for uncompressed DX that answers every C-STORE with a status, having done something first."""

    def handle(_event: evt.Event) -> int:
        after()
        return status

    entity = AE(ae_title="PEER")
    entity.add_supported_context(Verification)
    entity.add_supported_context(DigitalXRayImageStorageForPresentation, uid.ImplicitVRLittleEndian)
    server = entity.start_server((LOOPBACK, 0), block=False, evt_handlers=[(evt.EVT_C_STORE, handle)])
    try:
        yield ApplicationEntity("PEER", LOOPBACK, server.socket.getsockname()[1])
    finally:
        server.shutdown()


@contextmanager
def silent() -> Iterator[ApplicationEntity]:
    """A peer that accepts connections and says nothing."""
    with socket.create_server((LOOPBACK, 0)) as listening:
        yield ApplicationEntity("SILENT", LOOPBACK, listening.getsockname()[1])


def _store(peer: ApplicationEntity, *, kind: str = "DX", timeout_seconds: float = 5) -> list[int]:
    dataset = phantom_dataset(1, kind=kind, rows=16, columns=16)  # type: ignore[arg-type]
    return store(peer, [dataset], calling_ae_title="TEST", timeout_seconds=timeout_seconds)


def _data_set_length(path: Path) -> int:
    content = path.read_bytes()
    return len(content) - file_meta(content).length


def test_objects_arrive_as_they_were(storescp: StartStoreScp, tmp_path: Path) -> None:
    """DCMTK receives files of several transfer syntaxes over one association, byte for byte."""
    syntaxes = [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.JPEG2000Lossless, uid.RLELossless]
    paths = []
    for number, syntax in enumerate(syntaxes):
        paths.append(tmp_path / f"{number}.dcm")
        dataset = phantom_dataset(number, rows=64, columns=64, transfer_syntax_uid=syntax)
        dataset.save_as(paths[-1], enforce_file_format=True)
    server = storescp()
    peer = ApplicationEntity(server.ae_title, server.host, server.port)
    echo(peer, calling_ae_title="TEST", timeout_seconds=10)
    assert store_files(peer, paths, calling_ae_title="TEST", timeout_seconds=10) == [0, 0, 0, 0]
    received = {path: dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID for path in server.files()}
    assert {content_sha256(path) for path in received} == {content_sha256(path) for path in paths}
    assert set(received.values()) == set(syntaxes)


def test_real_files_arrive_as_they_were(storescp: StartStoreScp, shared_data: Path) -> None:
    """Every real file arrives in its own transfer syntax, without being decoded."""
    # One file has an odd length, which PS3.8 9.3.5.1 forbids on the network and DCMTK refuses.
    paths = [p for p in (shared_data / "dicom").rglob("*.dcm") if _data_set_length(p) % 2 == 0]
    assert len(paths) == 23
    server = storescp()
    peer = ApplicationEntity(server.ae_title, server.host, server.port)
    assert set(store_files(peer, paths, calling_ae_title="TEST", timeout_seconds=30)) == {0}
    sent = {content_sha256(path) for path in paths}
    assert {content_sha256(path) for path in server.files()} <= sent


def test_nothing_to_send_asks_nobody() -> None:
    """No object, no association."""
    assert store(ApplicationEntity("X", "nowhere.invalid", 1), [], calling_ae_title="TEST", timeout_seconds=1) == []


def test_an_uncompressed_object_is_converted_for_a_peer_that_needs_it() -> None:
    """A peer that takes implicit VR only gets implicit VR."""
    with answering(0x0000) as peer:
        assert _store(peer) == [0x0000]


@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007, 0x0107])
def test_a_warning_is_a_stored_object(status: int) -> None:
    """A warning is accepted and handed on."""
    with answering(status) as peer:
        assert _store(peer) == [status]


@pytest.mark.parametrize("status", [0xA700, 0xA900, 0xC000, 0x0110, 0x0122])
def test_a_failure_is_a_refusal_with_its_status(status: int) -> None:
    """Whoever asks can tell a full disk from an object that will never be taken."""
    with answering(status) as peer, pytest.raises(StoreRefusedError, match=f"{status:04X}") as refusal:
        _store(peer)
    assert refusal.value.status == status


def test_a_sop_class_that_nobody_takes_is_refused() -> None:
    """A peer without any accepted presentation context refuses; it is not unreachable."""
    with answering(0x0000) as peer, pytest.raises(StoreRefusedError, match="takes no such object") as refusal:
        _store(peer, kind="CR")
    assert refusal.value.status is None


def test_one_refused_kind_among_others_is_named() -> None:
    """The object whose SOP class is not taken is the one that is refused."""
    kinds = [phantom_dataset(1, rows=8, columns=8), phantom_dataset(1, kind="CR", rows=8, columns=8)]
    with answering(0x0000) as peer, pytest.raises(StoreRefusedError, match=ComputedRadiographyImageStorage):
        store(peer, kinds, calling_ae_title="TEST", timeout_seconds=5)


def test_a_compressed_object_is_not_converted() -> None:
    """A peer that takes no compressed transfer syntax refuses a compressed object."""
    dataset = phantom_dataset(1, rows=16, columns=16, transfer_syntax_uid=uid.RLELossless)
    with answering(0x0000) as peer, pytest.raises(StoreRefusedError):
        store(peer, [dataset], calling_ae_title="TEST", timeout_seconds=5)


@UNCLOSED
def test_a_peer_that_is_down_is_unreachable(free_port: Callable[[], int]) -> None:
    """Nobody listens on the port."""
    peer = ApplicationEntity("DOWN", LOOPBACK, free_port())
    with pytest.raises(PeerUnreachableError, match="does not answer"):
        _store(peer)
    with pytest.raises(PeerUnreachableError, match="does not answer"):
        echo(peer, calling_ae_title="TEST", timeout_seconds=5)


def test_a_host_without_address_is_unreachable() -> None:
    """The host name means nothing."""
    with pytest.raises(PeerUnreachableError):
        _store(ApplicationEntity("LOST", "no-such-host.invalid", 104))


def test_a_rejected_association_is_unreachable(storescp: StartStoreScp) -> None:
    """A peer that lets nobody in says so; trying again may help once its list is mended."""
    server = storescp("--refuse")
    with pytest.raises(PeerUnreachableError, match="rejected"):
        _store(ApplicationEntity(server.ae_title, server.host, server.port))


def test_a_peer_that_never_answers_costs_its_time_out() -> None:
    """A peer that takes the connection and says nothing is given up."""
    start = time.monotonic()
    with silent() as peer, pytest.raises(PeerUnreachableError):
        _store(peer, timeout_seconds=0.5)
    assert time.monotonic() - start < 10


def test_a_store_that_is_never_answered_costs_its_time_out() -> None:
    """A peer that takes the object and then says nothing is given up."""
    released = threading.Event()
    with answering(0x0000, after=lambda: released.wait(20)) as peer:
        with pytest.raises(PeerUnreachableError, match="no answer in time"):
            _store(peer, timeout_seconds=0.5)
        released.set()


def test_no_more_than_128_contexts_are_offered() -> None:
    """The limit of the protocol is kept; what does not fit is refused by name."""
    datasets: list[Dataset] = []
    for number in range(130):
        dataset = phantom_dataset(1, rows=8, columns=8) if number == 0 else datasets[0].copy()
        dataset.file_meta = datasets[0].file_meta if datasets else dataset.file_meta
        dataset.SOPClassUID = f"1.2.840.10008.5.1.4.1.1.{number}" if number else CTImageStorage
        datasets.append(dataset)
    with answering(0x0000) as peer, pytest.raises(StoreRefusedError):
        store(peer, datasets, calling_ae_title="TEST", timeout_seconds=5)
