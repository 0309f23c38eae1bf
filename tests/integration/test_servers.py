"""The servers that other tests rely on."""

import contextlib
import subprocess
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import create_engine, inspect, text

from tests.servers.orthanc import StartOrthanc
from tests.servers.ports import accepts, free_port, wait_until
from tests.servers.processes import running
from tests.servers.programs import require_program
from tests.servers.storescp import StartStoreScp


@pytest.mark.parametrize("run", [1, 2])
def test_every_test_gets_an_empty_postgres_database(postgres_url: str, run: int) -> None:
    """What one test writes, the next does not see."""
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        assert inspect(connection).get_table_names() == []
        connection.execute(text("CREATE TABLE leftover (id integer)"))
    engine.dispose()


@pytest.mark.parametrize("run", [1, 2])
def test_every_test_gets_an_empty_redis(redis_url: str, run: int) -> None:
    """What one test writes, the next does not see."""
    with Redis.from_url(redis_url) as client:
        assert client.keys() == []
        client.set("leftover", run)


def test_storescp_answers_under_its_title(storescp: StartStoreScp) -> None:
    """A started storescp takes a C-ECHO and has received nothing yet."""
    peer = storescp(ae_title="PACS1")
    echoscu = require_program("echoscu", "dcmtk")
    subprocess.run([echoscu, "--call", peer.ae_title, peer.host, str(peer.port)], check=True, timeout=30)
    assert peer.files() == []


def test_orthanc_speaks_dicom_and_rest(orthanc: StartOrthanc) -> None:
    """A started Orthanc takes a C-ECHO under its title and lists no instances."""
    peer = orthanc(ae_title="ARCHIVE")
    echoscu = require_program("echoscu", "dcmtk")
    subprocess.run([echoscu, "--call", peer.ae_title, peer.host, str(peer.port)], check=True, timeout=30)
    assert peer.get("/instances") == []


def test_a_server_ends_with_its_block(tmp_path: Path) -> None:
    """Nothing listens any more once the block is left, whatever the reason."""
    port = free_port()
    command = ["python3", "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    with contextlib.suppress(KeyError), running(command, ready=lambda: accepts(port), log=tmp_path / "log"):
        raise KeyError
    assert not accepts(port)


def test_a_server_that_ends_early_is_reported_with_its_log(tmp_path: Path) -> None:
    """The cause lies in the error and not in a time-out."""
    with (
        pytest.raises(RuntimeError, match="no such port"),
        running(["sh", "-c", "echo no such port; exit 3"], ready=lambda: False, log=tmp_path / "log"),
    ):
        pass


def test_waiting_ends_with_the_name_of_what_did_not_happen() -> None:
    """A condition that never holds raises."""
    with pytest.raises(TimeoutError, match="the flag"):
        wait_until(lambda: False, "the flag", seconds=0.01)


def test_a_missing_program_fails_in_ci_and_skips_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """CI can never pass by leaving a real peer out."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="package nonesuch"):
        require_program("nonesuch", "nonesuch")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="package nonesuch"):
        require_program("nonesuch", "nonesuch")
