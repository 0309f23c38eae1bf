"""Scoring with a batch ahead: what is in hand at every moment, and what becomes of it when something goes wrong."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import event, select, update

from tests.batches import score_batch
from tests.integration.worker.conftest import Clock
from tests.integration.worker.test_scoring import finish_preparation, of_size
from tests.studies import FOLDER, MODEL, incoming, put_in_service, receive
from worker.db import Database
from worker.domain import ImageState, Urgency
from worker.errors import DeviceLostError
from worker.feeding import Feeder
from worker.inference import Scores
from worker.model.artifact import ModelCard, default_directory, load_card
from worker.repository.model_versions import RegisteredModel
from worker.scoring import Scorer
from worker.service import Service
from worker.stating import Speaker
from worker.tables import Image, ModelVersion, PreparedImage, Score

KILLER = 66


@dataclass
class Device:
    """Answers with the grey level less 100; notes what it is given, and lets the test act while it computes."""

    card: ModelCard
    given: list[list[int]] = field(default_factory=list)
    meanwhile: Callable[[list[int]], None] = lambda _levels: None
    lost: bool = False

    def start(self, pixels: NDArray[np.uint8]) -> SimpleNamespace:
        """Take a batch."""
        levels = [int(level) for level in pixels[:, 0, 0]]
        self.given.append(levels)
        return SimpleNamespace(wait=lambda: self.meanwhile(levels), result=lambda: self.score(pixels))

    def score(self, pixels: NDArray[np.uint8]) -> Scores:
        """Answer."""
        if self.lost:
            raise DeviceLostError("device cuda failed: CUDA error; the worker ends to start anew")
        if (pixels[:, 0, 0] == KILLER).any():
            raise ArithmeticError
        logits = pixels[:, 0, 0].astype(np.float32) - 100
        return Scores(logits, np.zeros((len(pixels), 7, 7), np.float16), np.full(len(pixels), 10, np.float32))


@pytest.fixture(scope="module")
def card() -> ModelCard:
    """The shipped model's card."""
    return load_card(default_directory())


@pytest.fixture
def device(card: ModelCard) -> Device:
    """The device."""
    return Device(card)


@pytest.fixture
def scorer(service: Callable[..., Service], champion: RegisteredModel, device: Device) -> Callable[..., Scorer]:
    """Call it with settings for a scorer on the device."""

    def build(**settings: Any) -> Scorer:
        return Scorer(service(**settings), device, Speaker(champion, (FOLDER,), shadow=False))  # type: ignore[arg-type]

    return build


@pytest.fixture
def feeding(scorer: Callable[..., Scorer]) -> Callable[..., Feeder]:
    """Call it with settings for a feeder of such a scorer."""

    def build(**settings: Any) -> Feeder:
        built = scorer(**settings)
        return Feeder(lambda: built)

    return build


def add(database: Database, card: ModelCard, *levels: int, urgency: Urgency = Urgency.RESCREEN) -> None:
    """Receive and prepare a film of each grey level, in a study of its own."""
    for level in levels:
        uid = f"2.25.{level}"
        receive(database, incoming(f"{uid}.1", study=uid, urgency=urgency))
        with database.begin() as session:
            image = session.scalars(select(Image).where(Image.sop_instance_uid == f"{uid}.1")).one()
            finish_preparation(session, card, image, uid, [level])


def claims(database: Database) -> list[tuple[int, bool]]:
    """Attempts on each unscored frame, and whether somebody holds it."""
    with database.read() as session:
        waiting = session.scalars(select(Score).where(Score.scored_at.is_(None)).order_by(Score.id))
        return [(frame.attempts, frame.lease_until is not None) for frame in waiting]


def drain(feeder: Feeder) -> int:
    """Score until nothing is left; returns the number of batches."""
    count = 0
    while feeder.score_next_batch():
        count += 1
    return count


def test_the_next_batch_is_in_hand_while_one_is_computed(
    database: Database, feeding: Callable[..., Feeder], device: Device, card: ModelCard
) -> None:
    """While the device computes, the next batch is claimed; its films go there before any row is written."""
    add(database, card, 1, 2, 3, 4, 5)
    seen: list[tuple[int, int]] = []
    device.meanwhile = lambda _levels: seen.append((len(device.given), sum(held for _, held in claims(database))))
    assert drain(feeding(batch_size=2)) == 3
    assert device.given == [[1, 2], [3, 4], [5]]
    assert seen == [(1, 4), (2, 3), (3, 1)]
    assert claims(database) == []


def test_an_urgent_film_waits_for_one_batch_only(
    database: Database, feeding: Callable[..., Feeder], device: Device, card: ModelCard
) -> None:
    """STAT before routine before re-screening, also before a batch that was claimed already, which loses no attempt."""
    add(database, card, 1, 2, 3, 4)

    def arrive(levels: list[int]) -> None:
        if levels == [1]:
            add(database, card, 50, urgency=Urgency.MEDIUM)
            add(database, card, 60, urgency=Urgency.HIGH)

    device.meanwhile = arrive
    feeder = feeding(batch_size=1)
    assert feeder.score_next_batch()
    assert device.given == [[1], [60]]
    assert [attempts for attempts, _ in claims(database)] == [0, 0, 0, 0, 1]
    drain(feeder)
    assert device.given == [[1], [60], [50], [2], [3], [4]]


def test_a_fault_gives_back_what_was_in_hand_and_what_was_ahead(
    database: Database, feeding: Callable[..., Feeder], device: Device, card: ModelCard
) -> None:
    """The batch with the fault is tried again later and counts; the one ahead is free at once, and does not."""
    add(database, card, KILLER, 2, 3)
    with pytest.raises(ArithmeticError):
        feeding(batch_size=2).score_next_batch()
    assert claims(database) == [(1, False), (1, False), (0, False)]


def test_a_film_that_failed_before_is_scored_with_nothing_beside_it(
    database: Database, feeding: Callable[..., Feeder], device: Device, card: ModelCard, clock: Clock
) -> None:
    """If it kills its worker, nobody else's lease has to run out: the batch before is written, none is ahead."""
    add(database, card, 1, 2)
    add(database, card, KILLER)
    with database.begin() as session:
        session.execute(update(Score).where(Score.id == 3).values(attempts=1))
    held: list[int] = []
    device.meanwhile = lambda _levels: held.append(sum(taken for _, taken in claims(database)))
    feeder = feeding(batch_size=1, max_attempts=2)
    assert feeder.score_next_batch()
    assert feeder.score_next_batch()
    assert device.given == [[1], [2]]
    with pytest.raises(ArithmeticError):
        feeder.score_next_batch()
    assert device.given == [[1], [2], [KILLER]]
    assert claims(database) == [(2, False)]


def test_a_film_that_failed_before_holds_up_no_more_urgent_one(
    database: Database, feeding: Callable[..., Feeder], device: Device, card: ModelCard
) -> None:
    """It may kill its worker again: whatever is more urgent is scored first, and it comes before what is younger."""
    add(database, card, 3)
    with database.begin() as session:
        session.execute(update(Score).values(attempts=1))
    add(database, card, 4)
    add(database, card, 1, 2, urgency=Urgency.HIGH)
    drain(feeding(batch_size=3))
    assert device.given == [[1, 2], [3], [4]]


def test_a_lost_device_costs_no_film_an_attempt(
    database: Database, feeding: Callable[..., Feeder], device: Device, card: ModelCard, clock: Clock
) -> None:
    """However often it happens: the frames go back as they were, and are scored by the next process."""
    add(database, card, 1, 2, 3)
    device.lost = True
    for _ in range(4):
        with pytest.raises(DeviceLostError):
            feeding(batch_size=2, max_attempts=2).score_next_batch()
        assert claims(database) == [(0, False)] * 3
        clock.advance(seconds=400)
    device.lost = False
    assert drain(feeding(batch_size=2)) == 2


def test_finishing_leaves_nothing_on_the_device(
    database: Database, feeding: Callable[..., Feeder], device: Device, card: ModelCard
) -> None:
    """When a worker's turn is over it writes what it began, and claims no more."""
    add(database, card, 1, 2, 3)
    feeder = feeding(batch_size=1)
    feeder.score_next_batch()
    assert feeder.finish()
    assert not feeder.finish()
    assert claims(database) == [(0, False)]


def test_two_models_at_once_lose_nothing_and_each_score_names_its_own(
    database: Database, service: Callable[..., Service], champion: RegisteredModel, card: ModelCard
) -> None:
    """Two workers, one of which has not taken up the new model yet, share the films; no film is scored twice."""
    add(database, card, *range(1, 9))
    newer = put_in_service(database, MODEL.model_copy(update={"version": "2.0.0", "sha256": "b" * 64}))
    feeders = []
    for model in (champion, newer):
        built = Scorer(service(batch_size=2), Device(card), Speaker(model, (FOLDER,), shadow=False))  # type: ignore[arg-type]
        feeders.append(Feeder(lambda built=built: built))
    for _ in range(3):
        for feeder in feeders:
            feeder.score_next_batch()
    with database.read() as session:
        rows = session.execute(select(ModelVersion.version, Score.logit).join(Score).order_by(Score.id)).all()
        states = set(session.scalars(select(Image.state)))
    assert [logit for _, logit in rows] == [float(level - 100) for level in range(1, 9)]
    assert {version for version, _ in rows} == {"1.0.0", "2.0.0"}
    assert states == {ImageState.SCORED}


def test_a_new_model_is_taken_up_between_two_batches(
    database: Database, service: Callable[..., Service], champion: RegisteredModel, card: ModelCard
) -> None:
    """The batch that the old model has on the device is the old model's; what is claimed later is the new one's."""
    add(database, card, 1, 2, 3)
    newer = put_in_service(database, MODEL.model_copy(update={"version": "2.0.0", "sha256": "b" * 64}))
    old, new = (
        Scorer(service(batch_size=1), Device(card), Speaker(model, (FOLDER,), shadow=False))  # type: ignore[arg-type]
        for model in (champion, newer)
    )
    in_service = [old]
    feeder = Feeder(lambda: in_service[0])
    feeder.score_next_batch()
    in_service[0] = new
    drain(feeder)
    with database.read() as session:
        rows = session.execute(select(ModelVersion.version).join(Score).order_by(Score.id)).all()
    assert [version for (version,) in rows] == ["1.0.0", "1.0.0", "2.0.0"]


def test_a_prepared_image_of_the_wrong_shape_fails_alone_with_one_line(
    database: Database, feeding: Callable[..., Feeder], device: Device, card: ModelCard
) -> None:
    """It says what it holds and what to do; the film beside it is scored."""
    add(database, of_size(card, 112), 1)
    add(database, card, 2)
    with database.begin() as session:
        session.execute(update(PreparedImage).values(input_spec_sha256=card.input_spec.sha256))
    drain(feeding())
    assert device.given == [[2]]
    with database.read() as session:
        errors = session.scalars(select(Image.last_error).order_by(Image.id)).all()
    assert errors[0] is not None
    assert errors[0].startswith("prepared image holds 12544 grey levels instead of 224 x 224: ")
    assert errors[1] is None


def test_the_statements_of_a_batch_do_not_grow_with_it(
    database: Database, scorer: Callable[..., Scorer], device: Device, card: ModelCard
) -> None:
    """Claiming and writing 12 films takes as many statements as 3."""
    counts = []
    for levels in ((1, 2, 3), range(10, 22)):
        add(database, card, *levels)
        with counting_statements(database) as statements:
            assert score_batch(scorer(batch_size=16))
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 12


@contextmanager
def counting_statements(database: Database) -> Iterator[list[str]]:
    """What is sent to the database meanwhile."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield statements
    event.remove(database.engine, "before_cursor_execute", note)
