"""The same job on PostgreSQL and Redis, both over TLS."""

from pathlib import Path

from dicom_io.phantom import phantom_dataset
from dicom_io.scu import store
from tests.end_to_end.conftest import StartService
from tests.servers import redis as redis_server
from tests.servers.certificates import Authority
from tests.servers.ports import LOOPBACK, wait_until
from tests.servers.postgres import PostgresServer


def test_a_pushed_film_is_flagged_over_postgresql_and_redis(
    start_service: StartService,
    _postgres: PostgresServer,  # noqa: PT019 - its certificate is set
    postgres_url: str,
    tmp_path: Path,
) -> None:
    """With both URLs set, a pushed film is concluded, and nothing lies in the embedded broker or SQLite."""
    authority = Authority.make(tmp_path, "authority")
    own = authority.issue("server")
    database_url = f"{postgres_url}?sslmode=verify-full&sslrootcert={authority.certificate}"
    with _postgres.encrypted(own), redis_server.encrypted(tmp_path, own) as port:
        tls = {"AUTHORITIES": own.authorities, "CERTIFICATE": own.certificate, "KEY": own.key}
        environment = {f"CXR_BROKER_TLS__{name}": str(path) for name, path in tls.items()}
        broker_url = f"rediss://{LOOPBACK}:{port}/0"
        service = start_service(database_url=database_url, broker_url=broker_url, environment=environment)
        film = phantom_dataset(1, kind="CR", rows=256, columns=256)
        assert store(service.listener, [film], calling_ae_title="PACS", timeout_seconds=10) == [0]
        wait_until(lambda: len(service.concluded()) == 1, "a concluded study", seconds=120)
        assert service.concluded()[str(film.StudyInstanceUID)]["status"] == "SCREENED"
        service.stop()
    assert not (service.folder / "data" / "broker").exists()
    assert not list((service.folder / "data").glob("*.sqlite"))
