"""How the service says that it stands, on both kinds of database."""

import pytest

from tests.plans import plans
from tests.studies import MINUTE, MODEL, NOW, incoming, prepare, put_in_service, receive, score_everything
from worker.db import Database
from worker.repository.model_versions import RegisteredModel
from worker.repository.views import ServiceStatus, service_status

NEWER = MODEL.model_copy(update={"version": "2.0.0", "sha256": "b" * 64})


def status(database: Database) -> ServiceStatus:
    """How it stands."""
    with database.read() as session:
        return service_status(session)


def test_a_model_that_scores_although_another_is_in_service_is_told(
    database: Database, champion: RegisteredModel
) -> None:
    """Not what it scored before the change, and no more once the model in service scores."""
    receive(database, incoming(), incoming("2.25.12"), incoming("2.25.13"))
    assert status(database).scored_by_another is None
    prepare(database)
    score_everything(database, champion, at=NOW - MINUTE)
    newer = put_in_service(database, NEWER)
    assert (status(database).model, status(database).model_since) == (NEWER.model_dump(), NOW)
    assert status(database).scored_by_another is None
    prepare(database, "2.25.12")
    score_everything(database, champion, at=NOW + MINUTE)
    assert status(database).scored_by_another == MODEL.model_dump()
    prepare(database, "2.25.13")
    score_everything(database, newer, at=NOW + MINUTE)
    assert status(database).scored_by_another is None


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("FROM images \nWHERE images.state = ", "ix_images_failed"),
        ("count(*) AS count_1 \nFROM deliveries", "ix_deliveries_dead"),
        ("min(deliveries.created_at)", "ix_deliveries_work"),
    ],
)
def test_what_failed_is_counted_without_looking_at_the_whole_archive(
    database: Database, statement: str, index: str
) -> None:
    """An operator who asks every minute slows down nothing, however many years of studies there are."""
    found = [plan for plan in plans(database, lambda: status(database), of=statement) if index in plan]
    assert found
