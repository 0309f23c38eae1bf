"""The same job on PostgreSQL and Redis."""

from dicom_io.phantom import phantom_dataset
from dicom_io.scu import store
from tests.end_to_end.conftest import StartService
from tests.servers.ports import wait_until


def test_a_pushed_film_is_flagged_over_postgresql_and_redis(
    start_service: StartService, postgres_url: str, redis_url: str
) -> None:
    """With both URLs set, a pushed film is concluded, and nothing lies in the embedded broker or SQLite."""
    service = start_service(database_url=postgres_url, broker_url=redis_url)
    film = phantom_dataset(1, kind="CR", rows=256, columns=256)
    assert store(service.listener, [film], calling_ae_title="PACS", timeout_seconds=10) == [0]
    wait_until(lambda: len(service.concluded()) == 1, "a concluded study", seconds=120)
    assert service.concluded()[str(film.StudyInstanceUID)]["status"] == "SCREENED"
    assert not (service.folder / "data" / "broker").exists()
    assert not list((service.folder / "data").glob("*.sqlite"))
