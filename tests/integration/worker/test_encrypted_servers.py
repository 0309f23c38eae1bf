"""TLS to Redis and PostgreSQL whose certificates a hospital's own authority has issued."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from dicom_io.types import TransportSecurity
from tests.servers import redis as redis_server
from tests.servers.certificates import Authority
from tests.servers.ports import LOOPBACK
from tests.servers.postgres import PostgresServer
from worker.bootstrap import build_service
from worker.broker_checks import examine_broker
from worker.db import Database
from worker.destinations import ClientTlsSettings
from worker.errors import ConfigurationError
from worker.finding import Finding
from worker.settings import Settings

WAKE = """from worker.celery import app, wake
wake("score")
print(app.connection_for_read().default_channel._size("score"))"""


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The hospital's authority."""
    return Authority.make(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One that has issued nothing here."""
    return Authority.make(tmp_path_factory.mktemp("other"), "other")


@pytest.fixture(scope="module")
def own(ours: Authority) -> TransportSecurity:
    """The servers' certificate, which names the loopback interface."""
    return ours.issue("server")


@pytest.fixture(scope="module")
def redis_port(own: TransportSecurity, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A Redis that speaks TLS only."""
    with redis_server.encrypted(tmp_path_factory.mktemp("redis"), own) as port:
        yield port


def told(port: int, authorities: Path | None, own: TransportSecurity) -> list[Finding]:
    """What the doctor says of it; it is shown our certificate."""
    url = SecretStr(f"rediss://{LOOPBACK}:{port}/0")
    tls = ClientTlsSettings(authorities=authorities, certificate=own.certificate, key=own.key)
    return list(examine_broker(Settings(broker_url=url, broker_tls=tls)))


def test_a_redis_with_a_certificate_of_our_authority_is_well(redis_port: int, own: TransportSecurity) -> None:
    """It asks for ours, too; and wake-ups go there."""
    assert [finding.problem for finding in told(redis_port, own.authorities, own)] == [None, None, None]
    settings = {
        "CXR_BROKER_URL": f"rediss://{LOOPBACK}:{redis_port}/0",
        "CXR_BROKER_TLS__AUTHORITIES": str(own.authorities),
        "CXR_BROKER_TLS__CERTIFICATE": str(own.certificate),
        "CXR_BROKER_TLS__KEY": str(own.key),
    }
    words = (sys.executable, "-c", WAKE)
    sent = subprocess.run(words, env={**os.environ, **settings}, capture_output=True, text=True, timeout=60, check=True)
    assert sent.stdout.split() == ["1"], sent.stdout + sent.stderr


def test_a_redis_with_a_certificate_of_somebody_else_is_refused(
    redis_port: int, other: Authority, own: TransportSecurity
) -> None:
    """In one line with what to do; kombu by itself would take any certificate, and tell it the password."""
    for authorities in (other.certificate, None):
        (refused,) = told(redis_port, authorities, own)
        assert "certificate verify failed" in str(refused.problem)
        assert "its authority be in broker_tls.authorities (" in str(refused.problem)
        assert str(authorities or "the system's") in str(refused.problem)
        assert len(str(refused.problem).splitlines()) == 1


def test_a_redis_whose_certificate_names_another_host_is_refused(
    ours: Authority, own: TransportSecurity, tmp_path: Path
) -> None:
    """Whoever holds a certificate of our authority is not every server of ours."""
    with redis_server.encrypted(tmp_path, ours.issue("misnamed", names="DNS:elsewhere.example")) as port:
        (refused,) = told(port, ours.certificate, own)
    assert "its certificate must name the host of broker_url" in str(refused.problem)


def test_a_file_of_authorities_that_is_missing_is_named(
    redis_port: int, own: TransportSecurity, tmp_path: Path
) -> None:
    """With the setting; nothing is sent, and no process starts that would find out with its first wake-up."""
    (refused,) = told(redis_port, tmp_path / "none.pem", own)
    assert refused.problem == f"broker_tls: {tmp_path / 'none.pem'}: No such file or directory"
    settings = Settings(data_dir=tmp_path, broker_tls=ClientTlsSettings(authorities=tmp_path / "none.pem"))
    with pytest.raises(ConfigurationError, match=r"\Abroker_tls: .*none\.pem: No such file"):
        build_service(settings, lambda _task: None)


def verified(url: str, authorities: Path) -> str:
    """The URL of the same database, whose certificate is judged."""
    return f"{url}?sslmode=verify-full&sslrootcert={authorities}"


def test_postgresql_is_reached_over_tls_and_a_wrong_certificate_is_one_line(
    _postgres: PostgresServer,  # noqa: PT019 - its certificate is set
    postgres_url: str,
    own: TransportSecurity,
    ours: Authority,
    other: Authority,
) -> None:
    """With libpq's own parameters in `database_url`; the line says what they must name."""
    with _postgres.encrypted(own):
        database = Database(verified(postgres_url, ours.certificate))
        with database.read() as session:
            assert session.scalar(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")) is True
        database.dispose()
        settings = {"CXR_DATABASE_URL": verified(postgres_url, other.certificate)}
        words = (sys.executable, "-m", "worker.cli", "status")
        refused = subprocess.run(
            words, env={**os.environ, **settings}, capture_output=True, text=True, timeout=60, check=False
        )
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "certificate verify failed: its certificate must name the host of database_url" in refused.stderr
    assert refused.stderr.rstrip().endswith("its authority be in the file of sslrootcert there")
