"""Films in a spool, and what has to be done with them before they may go."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select, update

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
from worker.db import Database
from worker.domain import DeliveryState
from worker.purging import Purger
from worker.repository.model_versions import RegisteredModel
from worker.service import Service
from worker.tables import Delivery, Event, Image

DAY = timedelta(days=1)
FILM = b"a film of ten bytes"
Build = Callable[..., Service]


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
