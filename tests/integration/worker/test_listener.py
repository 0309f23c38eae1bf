"""The listener as its own process: `cxr-triage listen` with TLS, metrics and a log that people read."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dicom_io.errors import PeerUnreachableError, StoreRefusedError
from dicom_io.scu import echo, store
from dicom_io.types import ApplicationEntity, TransportSecurity
from tests.exposition import exposed
from tests.servers.certificates import Authority
from tests.servers.door import dcmtk, door, film
from tests.servers.ports import accepts, wait_until
from tests.servers.processes import running
from tests.servers.rude import (
    ACCEPT,
    RELEASE_RP,
    RELEASE_RQ,
    association_request,
    fragment,
    p_data,
    rude_peer,
    store_request,
)
from worker.certificates import require_certificates
from worker.db import Database
from worker.destinations import DicomDestination
from worker.doctor import Doctor
from worker.errors import ConfigurationError
from worker.schema import migrate
from worker.sections import (
    ListenerSettings,
    PeerSettings,
    ReconciliationSettings,
    StorageCommitmentSettings,
    TlsSettings,
)
from worker.service import Service
from worker.settings import Settings

USAGE_ERROR = 2


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> TransportSecurity:
    """A certificate of the hospital's, for a host of that name."""
    return Authority.make(tmp_path_factory.mktemp("hospital"), "hospital").issue("listener", names="DNS:cxr.example")


@dataclass(frozen=True)
class Listener:
    """A running one."""

    port: int
    metrics_folder: Path
    log: Path

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged; every line must be JSON, a traceback is none."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def metrics(self) -> str:
        """What Prometheus reads of the listener's file."""
        return exposed(self.metrics_folder)


@pytest.fixture
def config(tmp_path: Path, own: TransportSecurity, free_port: Callable[[], int]) -> Path:
    """Settings with everything on, and a database."""
    path = tmp_path / "settings.toml"
    port = free_port()
    path.write_text(
        f'data_dir = "{tmp_path}/data"\nmin_free_bytes = 0\n'
        f'[listener]\nport = {port}\nallowed_callers = ["PACS1"]\n'
        f'[listener.tls]\ncertificate = "{own.certificate}"\nkey = "{own.key}"\nauthorities = "{own.authorities}"\n'
    )
    return path


@pytest.fixture
def listener(config: Path, tmp_path: Path) -> Iterator[Listener]:
    """`cxr-triage listen` with these settings."""
    settings = Settings(data_dir=tmp_path / "data")
    settings.data_dir.mkdir()
    migrate(database := Database(settings.effective_database_url))
    database.dispose()
    port = next(int(line.split("=")[1]) for line in config.read_text().splitlines() if "port =" in line)
    log = tmp_path / "listen.log"
    with running(_command(config), ready=lambda: accepts(port), log=log):
        yield Listener(port, tmp_path / "data" / "metrics", log)


def _command(config: Path, command: str = "listen") -> list[str]:
    return [sys.executable, "-m", "worker.cli", command, "--config", str(config)]


def _called(listener: Listener, own: TransportSecurity) -> ApplicationEntity:
    tls = TransportSecurity(own.certificate, own.key, own.authorities, host_checked=False)
    return ApplicationEntity("CXRTRIAGE", "127.0.0.1", listener.port, tls)


def test_what_is_refused_is_counted_and_logged_in_one_line_each(listener: Listener, own: TransportSecurity) -> None:
    """Taken, not understood, not allowed, not by TLS: the metrics and the log agree, and hold no traceback."""
    peer = _called(listener, own)
    assert store(peer, [film()], calling_ae_title="PACS1", timeout_seconds=10) == [0]
    broken = film()
    del broken.StudyInstanceUID
    with pytest.raises(StoreRefusedError, match="0xC000"):
        store(peer, [broken], calling_ae_title="PACS1", timeout_seconds=10)
    with pytest.raises(PeerUnreachableError, match="rejected the association"):
        echo(peer, calling_ae_title="STRANGER", timeout_seconds=10)
    assert dcmtk("echoscu", listener.port).returncode != 0
    counted = (
        'cxr_triage_c_store_total{status="0x0000"} 1.0',
        'cxr_triage_c_store_total{status="0xC000"} 1.0',
        'cxr_triage_associations_refused_total{reason="calling-ae-title"} 1.0',
        'cxr_triage_associations_refused_total{reason="tls"} 1.0',
        'cxr_triage_associations_refused_total{reason="idle"} 0.0',
    )
    wait_until(lambda: set(counted) <= set(listener.metrics().splitlines()), "the counts, written every second")
    events = [line["event"] for line in listener.lines()]
    assert events == ["listening", "object-received", "store-refused", "association-refused", "association-refused"]


@pytest.fixture
def plain(config: Path) -> None:
    """The settings without TLS."""
    config.write_text(config.read_text().partition("[listener.tls]")[0])


@pytest.mark.usefixtures("plain")
def test_garbage_leaves_lines_and_no_traceback(listener: Listener) -> None:
    """Whatever comes, the log is one line per connection that was ended, in JSON."""
    name = b"Secret^Name"
    for sent in (b"GET / HTTP/1.1\r\n\r\n", association_request()[:40] + bytes(200)):
        with rude_peer(listener.port) as peer:
            peer.send(sent)
            assert peer.is_closed()
    for sent in (b"\x04\x00\x00\x00\x00\x04abcd", p_data(fragment(name * 20, command=True))):
        with rude_peer(listener.port) as peer:
            assert peer.associate() == ACCEPT
            peer.send(sent)
            assert peer.is_closed()
    with rude_peer(listener.port) as peer:
        assert peer.associate() == ACCEPT
        peer.send(p_data(fragment(store_request("Secret^Name"), command=True), fragment(name)))
        assert peer.status() == 0xC000
        peer.send(RELEASE_RQ)
        assert peer.receive()[0] == RELEASE_RP
    lines = listener.lines()
    assert len(lines) == 6
    assert {line["event"] for line in lines[1:]} == {"association-refused", "association-ended", "store-refused"}
    assert "Secret" not in listener.log.read_text()


def test_a_wrong_file_is_named_at_the_start(config: Path, own: TransportSecurity) -> None:
    """One line, and the exit status of a wrong setting: `listen`, and `serve`, which would start it again for ever."""
    config.write_text(config.read_text().replace(str(own.certificate), f"{own.certificate}.gone"))
    settings = Settings(data_dir=config.parent / "data")
    settings.data_dir.mkdir()
    migrate(database := Database(settings.effective_database_url))
    database.dispose()
    for command in ("listen", "serve"):
        ended = subprocess.run(_command(config, command), capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == USAGE_ERROR
        assert ended.stderr.splitlines()[-1] == (
            f"cxr-triage: listener.tls: {own.certificate}.gone: No such file or directory"
        )


def test_a_wrong_file_of_a_destination_is_named_with_it(own: TransportSecurity) -> None:
    """Before the first result is due for it."""
    tls = TlsSettings(certificate=own.certificate, key=own.certificate)
    pacs = DicomDestination(kind="dicom", name="pacs", ae_title="PACS", host="pacs", port=104, tls=tls)
    with pytest.raises(ConfigurationError, match=r"destination pacs, tls: .*(no PEM certificate|everybody)"):
        require_certificates(Settings(destinations=(pacs,)))


def test_a_wrong_file_of_any_peer_is_named_with_it(own: TransportSecurity) -> None:
    """Before the first commitment is to be reported, or the first night begins."""
    tls = TlsSettings(certificate=own.certificate, key=own.certificate.with_suffix(".gone"))
    peer = PeerSettings(ae_title="PACS", host="pacs", port=104, tls=tls)
    gone = r"\.gone: No such file or directory"
    with pytest.raises(ConfigurationError, match=f"storage_commitment, caller PACS, tls: .*{gone}"):
        require_certificates(Settings(storage_commitment=StorageCommitmentSettings(callers=(peer,))))
    with pytest.raises(ConfigurationError, match=rf"reconciliation\.pacs\.tls: .*{gone}"):
        require_certificates(Settings(reconciliation=ReconciliationSettings(pacs=peer)))


def test_the_doctor_reaches_listener_and_destinations_by_tls(own: TransportSecurity, tmp_path: Path) -> None:
    """The listener by its own certificate, whatever host that names; a destination by its host and its authority."""
    tls = TlsSettings(certificate=own.certificate, key=own.key, authorities=own.authorities)
    with door(tls=own) as inside:
        listener = ListenerSettings(port=inside.port, tls=tls)
        pacs = DicomDestination(
            kind="dicom", name="pacs", ae_title="CXRTRIAGE", host="127.0.0.1", port=inside.port, tls=tls
        )
        settings = Settings(data_dir=tmp_path, listener=listener, destinations=(pacs,))
        database = Database("sqlite://")
        doctor = Doctor(Service(settings, database, lambda _queue: None))
        assert doctor._listener() == f"CXRTRIAGE answers on 127.0.0.1:{inside.port}"
        with pytest.raises(PeerUnreachableError, match="IP address mismatch"):
            doctor._echo(pacs.entity)
        database.dispose()
