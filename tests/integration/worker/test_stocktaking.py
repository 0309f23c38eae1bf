"""The spool held against the database, on both kinds of database: what is missing, what is unknown, taking that in."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from dicom_io.errors import OutOfResourcesError
from dicom_io.identity import read_content
from dicom_io.phantom import phantom_dataset
from tests.integration.worker.conftest import Clock
from worker.db import Database
from worker.errors import ConfigurationError
from worker.intake import Intake
from worker.purging import Purger
from worker.service import Service
from worker.stocktaking import take_in, take_stock
from worker.tables import Image

CALLER = "PACS1"
BuildService = Callable[..., Service]


def orphan(service: Service, seed: int, content: bytes | None = None) -> Path:
    """Put a film into the spool of which the database knows nothing; with `content`, a file of those bytes."""
    aside = service.settings.data_dir / "film.dcm"
    aside.parent.mkdir(exist_ok=True)
    if content is None:
        phantom_dataset(seed, kind="CR", rows=32, columns=32).save_as(aside, enforce_file_format=True)
    else:
        aside.write_bytes(content)
    path = service.spool.path(read_content(aside).sha256)
    path.parent.mkdir(parents=True)
    return aside.rename(path)


def images(database: Database) -> list[tuple[str, str]]:
    """Who every image is from, and its state."""
    with database.read() as session:
        return [(row.calling_ae_title, row.state) for row in session.scalars(select(Image).order_by(Image.id))]


def test_films_that_came_after_a_backup_are_taken_in(service: BuildService, database: Database) -> None:
    """A film in the spool that no row names is unknown; taken in it is work like every other, from who sent it."""
    built = service()
    path = orphan(built, 1)
    before = path.read_bytes()
    stock = take_stock(built)
    assert (stock.images, stock.missing, stock.unknown) == (0, (), (path,))
    done = take_in(stock.unknown, Intake(built).receive, CALLER)
    assert (done.taken, done.refused) == (1, ())
    assert images(database) == [(CALLER, "received")]
    assert path.read_bytes() == before
    stock = take_stock(built)
    assert (stock.images, stock.missing, stock.unknown) == (1, (), ())
    assert take_in([path], Intake(built).receive, CALLER).taken == 1
    assert len(images(database)) == 1


def test_a_file_that_is_no_film_is_left(service: BuildService, database: Database) -> None:
    """What cannot be identified is named and stays; the films beside it are taken in."""
    built = service()
    broken, whole = orphan(built, 1, b"\0" * 128 + b"DICMno film at all"), orphan(built, 2)
    done = take_in([broken, whole], Intake(built).receive, CALLER)
    assert (done.taken, done.refused) == (1, (broken,))
    assert broken.exists()
    assert len(images(database)) == 1


def test_a_film_whose_file_is_gone_is_missing_until_it_comes_again(service: BuildService) -> None:
    """The row names its study, for whoever sends it again; the same bytes sent again mend it."""
    built = service()
    path = orphan(built, 1)
    content = path.read_bytes()
    take_in([path], Intake(built).receive, CALLER)
    path.unlink()
    (missing,) = take_stock(built).missing
    assert (missing.state, missing.study_instance_uid.startswith("2.25.")) == ("received", True)
    path.write_bytes(content)
    assert take_stock(built).missing == ()


def test_what_retention_removed_is_not_missing(purger: Purger, clock: Clock, service: BuildService) -> None:
    """A purged film's row names no file any more; an unknown one that stays unknown for a day is purged."""
    built = service()
    path = orphan(built, 1)
    assert take_stock(built).unknown == (path,)
    clock.advance(days=4000)
    purger.purge()
    assert take_stock(built).unknown == ()


def test_a_full_disk_takes_nothing_in(service: BuildService, database: Database) -> None:
    """The fault is the disk's, not the film's: it is told, and the film stays for the next attempt."""
    built = service(min_free_bytes=1 << 60)
    path = orphan(built, 1)
    path.write_bytes(path.read_bytes()[:-1] + b"\1")  # so that it is to be written anew, which takes room
    with pytest.raises(OutOfResourcesError):
        take_in([path], Intake(built).receive, CALLER)
    assert images(database) == []


def test_a_host_without_the_spool_says_so(service: BuildService) -> None:
    """On a score host nothing is called missing."""
    with pytest.raises(ConfigurationError, match="run it where the listener's is"):
        take_stock(service())
