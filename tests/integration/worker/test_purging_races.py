"""Retention beside a sender that sends again, and after a run that died in the middle."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from tests.integration.worker.conftest import Clock
from tests.retained import DAY, FILM, done, spooled, the_image
from tests.studies import (
    incoming,
    receive,
)
from worker import purging
from worker.db import Database
from worker.domain import ImageState
from worker.purging import Purged, Purger
from worker.repository.model_versions import RegisteredModel
from worker.service import Service, utc_now
from worker.tables import Image, Score

Build = Callable[..., Service]


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
