"""Retention: what goes, what stays whatever its age, and what a crash leaves; on both kinds of database."""

from collections.abc import Callable

import pytest
from sqlalchemy import func, select, text, update
from structlog.testing import capture_logs

from dicom_io.reasons import Reason
from tests.integration.worker.conftest import Clock
from tests.retained import DAY, FILM, done, events, spooled, the_image
from tests.studies import (
    NOW,
    STUDY,
    incoming,
    prepare,
    receive,
    result,
    say,
    score_everything,
    sha256,
)
from worker import purging
from worker.db import Database
from worker.domain import DeliveryState, ImageState, Stage
from worker.errors import ConfigurationError
from worker.purging import Purged, Purger
from worker.repository.model_versions import RegisteredModel
from worker.service import Service
from worker.tables import Delivery, Image, PreparedImage, Score, Study

Build = Callable[..., Service]


def test_a_film_that_is_done_with_goes_after_its_days(
    database: Database, champion: RegisteredModel, purger: Purger, clock: Clock
) -> None:
    """File and row say so, the study's trail and the run's count it; a day earlier it stays."""
    file = done(database, champion, purger)
    clock.advance(days=-1, seconds=-1)
    assert purger.purge() == Purged()
    assert file.exists()
    clock.advance(days=1, seconds=1)
    assert purger.purge() == Purged(files=1, bytes=len(FILM))
    assert not file.exists()
    assert the_image(database).purged_at == clock()
    assert events(database, "purged") == [(STUDY, {"images": 1})]
    assert [detail["files"] for _, detail in events(database, "purge")] == [1]
    assert purger.purge() == Purged()
    assert len(events(database, "purge")) == 1


def unscreened(database: Database) -> None:
    """The film is still to be prepared."""
    with database.begin() as session:
        session.execute(update(Image).values(state=ImageState.RECEIVED))


def failed(database: Database) -> None:
    """The film was set aside: an operator may put it back to work."""
    with database.begin() as session:
        session.execute(update(Image).values(state=ImageState.FAILED, reason=Reason.ATTEMPTS_EXHAUSTED))


def doubtful(database: Database) -> None:
    """Its header calls it a chest film, its picture does not: it was not screened."""
    with database.begin() as session:
        session.execute(update(Image).values(state=ImageState.OUT_OF_SCOPE, reason=Reason.OUT_OF_SCOPE_IMAGE))


def reopened(database: Database) -> None:
    """A late film came, and nothing was said of the study since."""
    with database.begin() as session:
        session.execute(update(Study).values(revision=2))


def undelivered(database: Database) -> None:
    """One destination of several does not have it yet."""
    receive(database, incoming(study="2.25.2"))
    with database.begin() as session:
        row = session.scalars(select(Delivery)).one()
        values = {"urgency": 20, "state": DeliveryState.PENDING, "created_at": NOW}
        session.add(Delivery(result_id=row.result_id, destination="pacs", **values))


def dead_letter(database: Database) -> None:
    """Nobody has it: a dead letter is not delivered."""
    with database.begin() as session:
        session.execute(update(Delivery).values(state=DeliveryState.DEAD))


def committed(database: Database) -> None:
    """A modality may have deleted its own copy on our word."""
    with database.begin() as session:
        session.execute(update(Image).values(committed_until=NOW + 16 * DAY))


def shared(database: Database) -> None:
    """Another image of the same content still waits for it."""
    receive(database, incoming(study="2.25.2"))
    with database.begin() as session:
        content = sha256(f"{STUDY} 2.25.11 first")
        session.execute(update(Image).where(Image.state == ImageState.RECEIVED).values(content_sha256=content))


@pytest.mark.parametrize(
    ("keep", "reason"),
    [
        (unscreened, "not screened"),
        (failed, "not screened"),
        (doubtful, "not screened"),
        (reopened, "study not concluded"),
        (undelivered, "not delivered"),
        (dead_letter, "not delivered"),
        (committed, "storage commitment"),
        (shared, "needed by another image"),
    ],
)
def test_what_may_be_needed_stays_whatever_its_age(
    database: Database, champion: RegisteredModel, purger: Purger, keep: Callable[[Database], None], reason: str
) -> None:
    """Each on its own keeps the file, and the forecast names it."""
    file = done(database, champion, purger)
    keep(database)
    assert purger.purge().files == 0
    assert file.read_bytes() == FILM
    forecast = purger.forecast()
    assert forecast.files == 0
    assert forecast.kept[reason] >= 1


def deliver_newest(database: Database) -> None:
    """Let the destination of what was said last take it."""
    with database.begin() as session:
        newest = session.scalars(select(func.max(Delivery.id))).one()
        session.execute(update(Delivery).where(Delivery.id == newest).values(state=DeliveryState.DELIVERED))


def test_a_dead_letter_keeps_a_film_until_a_later_word_is_delivered(
    database: Database, champion: RegisteredModel, purger: Purger
) -> None:
    """It is never sent again then. A later word to another destination, or one that still waits, is none."""
    file = done(database, champion, purger)
    dead_letter(database)
    assert say(database, champion, result(), stage=Stage.OVERDUE, to=("pacs",))
    deliver_newest(database)
    assert purger.purge() == Purged()
    assert say(database, champion, result(), stage=Stage.WITHDRAWN)
    assert purger.purge() == Purged()
    deliver_newest(database)
    assert purger.purge().files == 1
    assert not file.exists()


@pytest.mark.parametrize("state", [ImageState.SCORED, ImageState.OUT_OF_SCOPE])
def test_the_forecast_is_what_a_run_does(
    database: Database, champion: RegisteredModel, purger: Purger, state: ImageState
) -> None:
    """It changes nothing by itself."""
    file = done(database, champion, purger)
    with database.begin() as session:
        session.execute(update(Image).values(state=state))
    assert purger.forecast().files == 1
    assert file.exists()
    assert purger.purge().files == 1


def test_every_part_of_the_spool_is_looked_through_in_turn(purger: Purger, database: Database) -> None:
    """So many runs as there are parts see each folder once."""
    for number in range(20):
        spooled(purger, f"2.25.{number}")
    gone = [purger.purge(part=part, parts=4).orphans for part in range(4)]
    assert sum(gone) == 20
    assert max(gone) < 20


def test_prepared_images_go_after_their_days_if_they_were_scored(
    database: Database, champion: RegisteredModel, purger: Purger, clock: Clock
) -> None:
    """A frame without a score, and one that waits for another model's, stay."""
    receive(database, incoming(), incoming("2.25.12"), incoming("2.25.13"))
    for film in ("2.25.11", "2.25.12", "2.25.13"):
        prepare(database, film)
    score_everything(database, champion)
    with database.begin() as session:
        waiting, failing = session.scalars(select(Score).order_by(Score.id)).all()[1:]
        waiting.logit = waiting.scored_at = None
        failing.logit = None
        session.execute(update(Image).where(Image.sop_instance_uid == "2.25.13").values(state=ImageState.FAILED))
    spooled(purger)
    clock.advance(days=380)
    assert purger.purge().prepared == 0
    clock.advance(days=6)
    assert purger.forecast().prepared == 1
    assert purger.purge().prepared == 1
    with database.read() as session:
        left = set(session.scalars(select(PreparedImage.content_sha256)))
    assert left == {sha256(f"{STUDY} {film} first") for film in ("2.25.12", "2.25.13")}


def test_a_run_ends_after_its_seconds_and_the_next_goes_on(
    database: Database, champion: RegisteredModel, purger: Purger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other work of the queue is not held up by a large backlog."""
    monkeypatch.setattr(purging, "FILES_PER_TRANSACTION", 2)
    for number in range(1, 6):
        study = f"2.25.{number}"
        receive(database, incoming(study=study))
        spooled(purger, study=study)
    prepare_and_say(database, champion)
    seconds = iter(range(1000))
    bounded = Purger(purger.service, clock=lambda: float(next(seconds)))
    assert bounded.purge(seconds=2.5).files == 4
    assert bounded.purge(seconds=2.5).files == 1


def prepare_and_say(database: Database, champion: RegisteredModel) -> None:
    """Let every film be out of scope, and every study concluded."""
    with database.begin() as session:
        session.execute(update(Image).values(state=ImageState.OUT_OF_SCOPE, reason=Reason.LATERAL_VIEW))
        session.execute(update(Study).values(concluded_revision=Study.revision))


def test_a_host_without_the_spool_purges_nothing(database: Database, champion: RegisteredModel, purger: Purger) -> None:
    """Else rows would say that files are gone which lie on another host."""
    done(database, champion, purger)
    purger.service.spool.root.rename(purger.service.spool.root.with_name("elsewhere"))
    with pytest.raises(ConfigurationError, match=r"\Ano spool in "):
        purger.purge()
    assert the_image(database).purged_at is None


def test_a_disk_below_its_watermark_is_told_in_one_line(service: Build, database: Database) -> None:
    """With what is free and what is kept free; objects are refused meanwhile."""
    full = service(min_free_bytes=1 << 60)
    full.spool.root.mkdir(parents=True)
    with capture_logs() as lines:
        Purger(full).purge()
    told = [line for line in lines if line["event"] == "disk-watermark"]
    assert len(told) == 1
    assert f"{1 << 60} are kept free" in told[0]["error"]
    assert full.spool.free_bytes() is not None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_deleted_rows_leave_goes_back_to_the_disk(service: Build) -> None:
    """SQLite: the file shrinks, without a stop of the service; PostgreSQL has autovacuum."""
    built = service()
    built.spool.root.mkdir(parents=True)
    with built.database.begin() as session:
        for number in range(200):
            values = {"content_sha256": sha256(str(number)), "frame": 1, "input_spec_sha256": "5" * 64}
            session.add(PreparedImage(**values, pixels=bytes(10_000), created_at=NOW))
    with built.database.begin() as session:
        session.execute(text("DELETE FROM prepared_images"))
    Purger(built).purge()
    with built.database.read() as session:
        assert session.execute(text("PRAGMA freelist_count")).scalar_one() == 0
