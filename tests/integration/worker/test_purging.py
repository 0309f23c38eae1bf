"""Retention: what goes, what stays whatever its age, and what a crash leaves; on both kinds of database."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text, update
from structlog.testing import capture_logs

from dicom_io.reasons import Reason
from tests.integration.worker.conftest import Clock
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
from worker.domain import DeliveryState, ImageState
from worker.errors import ConfigurationError
from worker.purging import Purged, Purger
from worker.repository.model_versions import RegisteredModel
from worker.service import Service, utc_now
from worker.tables import Delivery, Event, Image, PreparedImage, Score, Study

DAY = timedelta(days=1)
FILM = b"a film of ten bytes"
Build = Callable[..., Service]


@pytest.fixture
def purger(service: Build, clock: Clock) -> Purger:
    """Purges after 14 and 400 days; it is 15 days later."""
    built = service()
    clock.advance(days=15)
    return Purger(built)


def spooled(purger: Purger, film: str = "2.25.11", *, study: str = STUDY, content: str = "first") -> Path:
    """The received file of a film, as old as the film."""
    path = purger.service.spool.store(sha256(f"{study} {film} {content}"), [FILM])
    os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    return path


def done(database: Database, champion: RegisteredModel, purger: Purger, *, delivered: bool = True) -> Path:
    """A film that was received, scored, said, and delivered; returns its file."""
    receive(database, incoming())
    prepare(database)
    score_everything(database, champion)
    say(database, champion, result())
    if delivered:
        deliver_all(database)
    return spooled(purger)


def deliver_all(database: Database) -> None:
    """Let every destination take everything."""
    with database.begin() as session:
        session.execute(update(Delivery).values(state=DeliveryState.DELIVERED))


def images(database: Database) -> dict[str, Image]:
    """Every image by its content."""
    with database.read() as session:
        return {image.content_sha256: image for image in session.scalars(select(Image))}


def the_image(database: Database) -> Image:
    """The only image."""
    (image,) = images(database).values()
    return image


def events(database: Database, kind: str) -> list[tuple[str | None, dict[str, object]]]:
    """Study and detail of every event of a kind."""
    with database.read() as session:
        rows = session.scalars(select(Event).where(Event.kind == kind).order_by(Event.id))
        return [(row.study_instance_uid, row.detail) for row in rows]


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


@pytest.mark.parametrize(("judged", "gone"), [(True, True), (False, False)])
def test_an_object_that_was_replaced_goes_only_if_it_was_judged(
    database: Database, champion: RegisteredModel, purger: Purger, *, judged: bool, gone: bool
) -> None:
    """One that was not takes its place again when its sender sends it again."""
    file = done(database, champion, purger)
    with database.begin() as session:
        session.execute(update(Image).values(state=ImageState.SUPERSEDED))
        if not judged:
            session.execute(update(Score).values(logit=None))
    purger.purge()
    assert file.exists() is not gone


def test_a_file_that_is_just_being_sent_again_stays(
    database: Database, champion: RegisteredModel, purger: Purger, clock: Clock
) -> None:
    """Its sender is about to be answered with success."""
    file = done(database, champion, purger)
    os.utime(file, (clock().timestamp(), clock().timestamp()))
    assert purger.purge() == Purged()
    assert file.exists()
    assert the_image(database).purged_at is None


def test_a_film_that_comes_again_after_it_was_purged_is_kept_anew_and_doubles_nothing(
    database: Database, champion: RegisteredModel, purger: Purger, clock: Clock
) -> None:
    """Same bytes: no new image, no new revision, no work; its days begin again."""
    done(database, champion, purger)
    purger.purge()
    receive(database, incoming(at=clock()))
    assert (the_image(database).purged_at, the_image(database).received_at) == (None, clock())
    assert the_image(database).state == ImageState.SCORED
    file = spooled(purger)
    assert purger.purge().files == 0
    assert file.exists()
    clock.advance(days=15)
    assert purger.purge().files == 1


def test_sending_again_while_purging_never_leaves_a_row_without_its_file(
    database: Database, champion: RegisteredModel, service: Build
) -> None:
    """Both at once, twenty times: if the row says that the file is kept, it is there; a sender has relied on it."""
    running = replace(service(retention={"raw_days": 1e-9}), now=utc_now)
    purger, hours_ago = Purger(running), utc_now() - timedelta(hours=2)
    film = replace(incoming(), received_at=hours_ago)
    done(database, champion, purger)

    def send_again() -> None:
        running.spool.store(film.content_sha256, [FILM])
        receive(database, film)

    seen: list[bool] = []
    with ThreadPoolExecutor(2) as threads:
        for _ in range(20):
            path = running.spool.store(film.content_sha256, [FILM])
            os.utime(path, (hours_ago.timestamp(),) * 2)
            wait([threads.submit(send_again), threads.submit(purger.purge)])
            seen.append(path.exists())
            assert path.exists() or the_image(database).purged_at is not None
    assert seen


def test_a_run_that_dies_between_file_and_row_is_made_good_by_the_next(
    database: Database, champion: RegisteredModel, purger: Purger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row still calls the file kept; the next run finds it gone and says so."""
    file = done(database, champion, purger)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(purging, "note_purged", die)
        with pytest.raises(KeyboardInterrupt):
            purger.purge()
    assert not file.exists()
    assert the_image(database).purged_at is None
    assert purger.purge().files == 1
    assert the_image(database).purged_at is not None


def test_a_file_whose_removal_was_interrupted_gets_its_name_back_if_it_is_wanted(
    database: Database, champion: RegisteredModel, purger: Purger
) -> None:
    """A film that is not delivered was moved aside and the host went down: it is put back a day later."""
    file = done(database, champion, purger, delivered=False)
    file.rename(file.with_name(f".{file.name}.aside"))
    assert purger.purge() == Purged()
    assert file.read_bytes() == FILM


def test_files_without_an_image_and_begun_ones_go_after_a_day(
    database: Database, champion: RegisteredModel, purger: Purger, clock: Clock
) -> None:
    """Their senders were never answered with success; a file of a known image and a young one stay."""
    kept = done(database, champion, purger, delivered=False)
    orphan, begun = spooled(purger, "2.25.98"), spooled(purger, "2.25.99")
    begun = begun.rename(begun.with_name(f".{begun.name}.4711-abcdef01"))
    young = spooled(purger, "2.25.97")
    os.utime(young, ((clock() - DAY).timestamp() + 1,) * 2)
    assert purger.purge() == Purged(orphans=1, begun=1, bytes=2 * len(FILM))
    assert [path.exists() for path in (kept, orphan, begun, young)] == [True, False, False, True]


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


def test_what_deleted_rows_leave_goes_back_to_the_disk(tmp_path: Path, clock: Clock, service: Build) -> None:
    """SQLite: the file shrinks, without a stop of the service."""
    built = service()
    if built.database.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL has autovacuum")
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
