"""How the service says that it stands, on both kinds of database."""

import pytest
from sqlalchemy import text

from tests.plans import plans
from tests.studies import MINUTE, MODEL, NOW, incoming, prepare, put_in_service, receive, score_everything
from worker.db import Database
from worker.repository import counting
from worker.repository.model_versions import RegisteredModel
from worker.repository.views import ServiceStatus, service_status, undelivered

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
        ("max(studies.last_received_at)", "ix_studies_last_received"),
    ],
)
def test_what_failed_is_counted_without_looking_at_the_whole_archive(
    database: Database, statement: str, index: str
) -> None:
    """An operator who asks every minute slows down nothing, however many years of studies there are."""
    found = [plan for plan in plans(database, lambda: status(database), of=statement) if index in plan]
    assert found


def test_what_waits_in_the_outbox_is_found_without_looking_at_what_was_delivered(database: Database) -> None:
    """`cxr-triage deliveries` reads the two indexes of what is to be sent and of dead letters."""

    def look() -> None:
        with database.read() as session:
            undelivered(session)

    (plan,) = plans(database, look, of="FROM deliveries")
    assert "ix_deliveries_work" in plan
    assert "ix_deliveries_dead" in plan


def test_very_many_studies_are_not_counted_one_by_one(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL's own estimate stands for them; what it has not seen yet is not told as fewer than were counted."""
    monkeypatch.setattr(counting, "EXACTLY", 2)
    receive(database, *(incoming(f"2.25.{number}", study=f"2.25.{number}.9") for number in range(5)))
    postgres = database.engine.dialect.name == "postgresql"
    with database.begin() as session:
        if postgres:
            session.execute(text("UPDATE pg_class SET reltuples = -1 WHERE oid = 'studies'::regclass"))
            assert counting.count_studies(session) == 3
        session.execute(text("ANALYZE studies"))
        assert counting.count_studies(session) == 5
    (plan,) = plans(database, lambda: status(database), of="FROM (SELECT studies.id")
    assert "Limit" in plan or not postgres
