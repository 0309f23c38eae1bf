"""The task of the score queue: live films and a re-screening in one turn of one worker, on one device."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import select

from tests.integration.worker.conftest import Clock
from tests.integration.worker.test_feeding import Device, add, claims
from tests.rescreens import archive, promote
from tests.studies import FOLDER
from worker.domain import Urgency
from worker.errors import DeviceLostError
from worker.inference import Scores
from worker.model.artifact import default_directory, load_card
from worker.repository.model_versions import RegisteredModel
from worker.rescreen_tables import Rescreen, RescreenChunk, RescreenScore
from worker.rescreening.starting import Order, Starter
from worker.scoring import Scorer
from worker.service import Service
from worker.stating import Speaker
from worker.tables import Image, Score
from worker.tasks import score as module

PAST = {f"2.25.90{number}/2.25.90{number}.1": number for number in (11, 12, 13, 14)}  # UID and grey level


class Busy(Device):
    """Computes the batches of a re-screening, too, and lets the test act meanwhile."""

    def start(self, pixels: NDArray[np.uint8]) -> SimpleNamespace:
        """Take a live batch."""
        started = super().start(pixels)
        started.result = lambda: Device.score(self, pixels)
        return started

    def score(self, pixels: NDArray[np.uint8]) -> Scores:
        """Take a batch of a re-screening, and answer."""
        super().start(pixels).wait()
        return super().score(pixels)


@pytest.fixture
def device() -> Busy:
    """The device."""
    return Busy(load_card(default_directory()))


@pytest.fixture
def turn(
    service: Callable[..., Service],
    champion: RegisteredModel,
    device: Busy,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[], None]:
    """A past that an earlier model judged and a re-screening of it; call it for a turn of the score worker."""
    site = service(batch_size=1)
    archive(site.database, champion, device.card, PAST)
    better = promote(site.database)
    clock.advance(minutes=1)
    Starter(site, "me@host").start(Order())
    scorer = Scorer(site, device, Speaker(better, (FOLDER,), shadow=False))  # type: ignore[arg-type]
    monkeypatch.setattr(module, "_service", lambda: site)
    monkeypatch.setattr(module, "_scorers", lambda: SimpleNamespace(current=lambda: scorer))
    monkeypatch.setattr(module, "wake", site.wake)
    module._engines.cache_clear()
    return module.score.run  # type: ignore[no-any-return]


def test_live_films_that_come_in_a_rescreening_are_next(
    turn: Callable[[], None], service: Callable[..., Service], device: Busy
) -> None:
    """They wait for the batch under way; the re-screening goes on after them, and every film has its own answer."""
    database = service().database

    def arrive(levels: list[int]) -> None:
        if levels == [11]:
            add(database, device.card, 20, 21, urgency=Urgency.MEDIUM)
            add(database, device.card, 160, urgency=Urgency.HIGH)
        elif levels == [20]:
            add(database, device.card, 161, urgency=Urgency.HIGH)

    device.meanwhile = arrive
    turn()
    assert device.given == [[11], [160], [20], [161], [21], [12], [13], [14]]
    assert claims(database) == []
    with database.read() as session:
        live = select(Image.sop_instance_uid, Score.logit).join(Score, Score.image_id == Image.id).order_by(Score.id)
        said = {uid: logit for uid, logit in session.execute(live).all() if uid not in {n.split("/")[1] for n in PAST}}
        again = select(Image.sop_instance_uid, RescreenScore.logit).join(RescreenScore)
        asked = {uid: logit for uid, logit in session.execute(again).all()}  # noqa: C416 - rows are no pairs to mypy
        assert session.scalars(select(Rescreen.outcome)).one() == "finished"
    assert said == {f"2.25.{level}.1": level - 100 for level in (20, 21, 160, 161)}
    assert asked == {name.split("/")[1]: level - 100 for name, level in PAST.items()}


def test_a_device_that_is_lost_in_a_rescreening_ends_the_worker_and_leaves_nothing_claimed(
    turn: Callable[[], None], service: Callable[..., Service], device: Busy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the chunk in hand nor the live films that came meanwhile lose an attempt."""
    database, ended = service().database, list[int]()

    def lose(levels: list[int]) -> None:
        if levels == [12]:
            add(database, device.card, 20, 21)
            device.lost = True
            raise DeviceLostError("device cuda failed: CUDA error; the worker ends to start anew")

    device.meanwhile = lose
    monkeypatch.setattr("worker.tasks.score._end_worker", lambda: ended.append(1))
    turn()
    assert ended
    assert claims(database) == [(0, False), (0, False)]
    with database.read() as session:
        (chunk,) = session.scalars(select(RescreenChunk)).all()
        assert (chunk.attempts, chunk.lease_until) == (0, None)
