"""The score step on both kinds of database, with a network whose answers the test chooses."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zstandard
from numpy.typing import NDArray
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from tests.batches import score_batch
from tests.integration.worker.conftest import Clock, Wakes
from tests.studies import MODEL, NOW, incoming, put_in_service, receive
from worker.db import Database
from worker.destinations import FolderDestination
from worker.domain import ImageState
from worker.inference import Scores
from worker.model.artifact import ModelCard, default_directory, load_card
from worker.model.judgement import STRANGE_FLAGGED_IMAGE
from worker.queues import Queue
from worker.repository.model_versions import RegisteredModel
from worker.repository.preparation import ImageWork, Preparation, finish_image
from worker.repository.results import image_outcomes
from worker.scoring import Scorer
from worker.service import Service
from worker.stating import Speaker
from worker.tables import Image, PreparedImage, Result, Score
from worker.triage import judge

KILLER = 66
STRANGE = (7, 207)  # grey levels of films that look like no chest film: one below, one above the threshold
BuildScorer = Callable[..., Scorer]


@pytest.fixture(scope="module")
def card() -> ModelCard:
    """The shipped model's card."""
    return load_card(default_directory())


@dataclass
class Network:
    """Answers with the grey level of a film's first pixel, less 100, as its logit; 255 is no number, 66 a fault."""

    card: ModelCard
    batches: list[int]
    broken: bool = False

    def start(self, pixels: NDArray[np.uint8]) -> SimpleNamespace:
        """Score a batch when its result is asked for."""
        return SimpleNamespace(result=lambda: self.score(pixels), wait=lambda: None)

    def score(self, pixels: NDArray[np.uint8]) -> Scores:
        """Score a batch."""
        self.batches.append(len(pixels))
        if self.broken:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if (pixels[:, 0, 0] == KILLER).any():
            raise ArithmeticError
        logits = pixels[:, 0, 0].astype(np.float32) - 100
        logits[pixels[:, 0, 0] == 255] = np.nan
        distances = np.where(np.isin(pixels[:, 0, 0], STRANGE), 1000, 10).astype(np.float32)
        return Scores(logits, np.zeros((len(pixels), 7, 7), np.float16), distances)


@pytest.fixture
def network(card: ModelCard) -> Network:
    """The network."""
    return Network(card, [])


@pytest.fixture
def scorer(service: Callable[..., Service], champion: RegisteredModel, network: Network) -> BuildScorer:
    """Call it with settings for a scorer."""

    def build(**settings: Any) -> Scorer:
        folder = FolderDestination(kind="folder", name="flags", path="flags")  # type: ignore[arg-type]
        speaker = Speaker(champion, (folder,), shadow=False)
        return Scorer(service(**settings), network, speaker)  # type: ignore[arg-type]

    return build


def prepared(database: Database, card: ModelCard, films: dict[str, Sequence[int]]) -> None:
    """Receive and prepare films, each frame of one grey level."""
    for number, (film, levels) in enumerate(films.items()):
        receive(database, incoming(film, study=f"2.25.{number + 1}"))
        with database.begin() as session:
            image = session.scalars(select(Image).where(Image.sop_instance_uid == film)).one()
            finish_preparation(session, card, image, f"2.25.{number + 1}", levels)


def finish_preparation(session: Session, card: ModelCard, image: Image, study: str, levels: Sequence[int]) -> None:
    """Finish an image with frames of one grey level each, of the model's size."""
    size = card.input_spec.size
    frames = tuple(zstandard.compress(np.full((size, size), level, np.uint8).tobytes()) for level in levels)
    work, preparation = ImageWork(image.id, study, image.content_sha256), Preparation(ImageState.PREPARED, frames)
    assert finish_image(session, work, preparation, input_spec_sha256=card.input_spec.sha256, now=NOW)


def states(database: Database) -> dict[str, str]:
    """State of each film."""
    with database.read() as session:
        return {image.sop_instance_uid: image.state for image in session.scalars(select(Image))}


def flags(database: Database) -> list[SimpleNamespace]:
    """What was said."""
    with database.read() as session:
        return [SimpleNamespace(**json.loads(r.flag)) for r in session.scalars(select(Result).order_by(Result.id))]


def test_films_are_scored_in_batches_and_a_finding_is_told(
    database: Database, scorer: BuildScorer, network: Network, card: ModelCard, wakes: Wakes
) -> None:
    """At most a batch at a time; score and flag stand in one transaction, and delivery is woken after it."""
    prepared(database, card, {"2.25.11": [0], "2.25.12": [200], "2.25.13": [1]})
    step = scorer(batch_size=2)
    wakes.watch = lambda: wakes.queues.extend([] if flags(database) else [Queue.SCORE])
    assert [score_batch(step) for _ in range(3)] == [True, True, False]
    assert network.batches == [2, 1]
    (flag,) = flags(database)
    assert (flag.study_instance_uid, flag.priority, flag.images[0]["logit"]) == ("2.25.2", "HIGH", 100.0)
    assert set(states(database).values()) == {ImageState.SCORED}
    assert wakes.queues == [Queue.DELIVER]


def test_a_logit_that_is_no_number_says_nothing(database: Database, scorer: BuildScorer, card: ModelCard) -> None:
    """The film is failed, never screened; the others of its batch are scored and told as usual."""
    prepared(database, card, {"2.25.11": [255], "2.25.12": [200]})
    assert score_batch(scorer())
    assert states(database) == {"2.25.11": ImageState.FAILED, "2.25.12": ImageState.SCORED}
    assert [flag.study_instance_uid for flag in flags(database)] == ["2.25.2"]


def test_a_frame_that_fails_takes_no_finding_with_it(database: Database, scorer: BuildScorer, card: ModelCard) -> None:
    """One frame of the image is no number, the other one is flagged: the image fails, and the finding is told."""
    prepared(database, card, {"2.25.11": [255, 200]})
    assert score_batch(scorer())
    assert states(database) == {"2.25.11": ImageState.FAILED}
    assert [flag.priority for flag in flags(database)] == ["HIGH"]


def of_size(card: ModelCard, size: int) -> ModelCard:
    """A model that sees films of another size."""
    return card.model_copy(update={"input_spec": card.input_spec.model_copy(update={"size": size})})


def test_a_film_that_was_prepared_for_another_model_is_prepared_again(
    database: Database, scorer: BuildScorer, network: Network, card: ModelCard
) -> None:
    """Its pixels are of another input: the network does not see it, and the film is the prepare step's work again."""
    prepared(database, of_size(card, 256), {"2.25.11": [200]})
    step = scorer()
    assert score_batch(step)
    assert states(database) == {"2.25.11": ImageState.RECEIVED}
    assert not score_batch(step)
    prepare_anew(database, card, "2.25.11", [200])
    assert score_batch(step)
    assert (states(database), network.batches) == ({"2.25.11": ImageState.SCORED}, [1])
    assert [flag.priority for flag in flags(database)] == ["HIGH"]


def test_a_frame_keeps_its_score_when_its_film_is_prepared_again(
    database: Database, scorer: BuildScorer, card: ModelCard
) -> None:
    """The first frame was scored before the model changed, the second is after: each is said once."""
    prepared(database, card, {"2.25.11": [20, 30]})
    assert score_batch(scorer(batch_size=1))
    with database.begin() as session:
        session.execute(delete(PreparedImage))
    assert score_batch(scorer())
    prepare_anew(database, card, "2.25.11", [20, 30])
    assert score_batch(scorer())
    with database.read() as session:
        scores = session.scalars(select(Score).order_by(Score.frame)).all()
        assert [(score.frame, score.logit) for score in scores] == [(1, -80.0), (2, -70.0)]
    assert states(database) == {"2.25.11": ImageState.SCORED}


def test_a_film_for_a_model_that_this_host_cannot_load_waits(
    database: Database, scorer: BuildScorer, card: ModelCard, clock: Clock
) -> None:
    """The model in service has another input, and the old one goes on here: the film waits without losing attempts."""
    prepared(database, of_size(card, 256), {"2.25.11": [200]})
    step = scorer(max_attempts=2, retry_max_seconds=2)
    put_in_service(database, MODEL.model_copy(update={"version": "2.0.0", "sha256": "b" * 64}))
    for _ in range(3):
        assert score_batch(step)
        assert not score_batch(step)
        clock.advance(seconds=3)
    assert states(database) == {"2.25.11": ImageState.PREPARED}
    with database.read() as session:
        assert session.scalars(select(Score.attempts)).one() == 0


def prepare_anew(database: Database, card: ModelCard, film: str, levels: Sequence[int]) -> None:
    """Prepare a film that was prepared before, each frame of one grey level."""
    with database.begin() as session:
        image = session.scalars(select(Image).where(Image.sop_instance_uid == film)).one()
        finish_preparation(session, card, image, "2.25.1", levels)


def test_a_film_that_looks_like_no_chest_film_is_out_of_scope(
    database: Database, card: ModelCard, scorer: BuildScorer
) -> None:
    """Its study is UNSCREENED with that reason, and no probability is told of it."""
    prepared(database, card, {"2.25.91": [STRANGE[0]]})
    assert score_batch(scorer())
    with database.read() as session:
        image = session.scalars(select(Image)).one()
        assert (image.state, image.reason) == ("out-of-scope", "out-of-scope-image")
        verdict = judge(image_outcomes(session, image.study_id))
    assert (verdict.status, verdict.reason) == ("UNSCREENED", "out-of-scope-image")
    assert [prediction.probability for prediction in verdict.predictions] == [None]


def test_a_flagged_film_is_told_however_strange_it_looks(
    database: Database, card: ModelCard, scorer: BuildScorer
) -> None:
    """The gate never silences a finding; the flag carries a warning."""
    prepared(database, card, {"2.25.92": [STRANGE[1]]})
    assert score_batch(scorer())
    assert [(flag.priority, flag.warnings) for flag in flags(database)] == [("HIGH", [STRANGE_FLAGGED_IMAGE])]


def test_a_damaged_prepared_image_fails_alone(database: Database, card: ModelCard, scorer: BuildScorer) -> None:
    """Its study is failed as not prepared; the film beside it in the batch is scored at the first attempt."""
    prepared(database, card, {"2.25.93": [120], "2.25.94": [50]})
    with database.begin() as session:
        damaged = session.scalars(select(PreparedImage).order_by(PreparedImage.content_sha256)).first()
        assert damaged is not None
        damaged.pixels = damaged.pixels[:-3]
        content = damaged.content_sha256
    assert score_batch(scorer())
    with database.read() as session:
        states = {image.content_sha256: (image.state, image.reason) for image in session.scalars(select(Image))}
    assert states.pop(content) == ("failed", "not-prepared")
    assert list(states.values()) == [("scored", None)]


def test_a_film_that_kills_its_worker_takes_no_other_with_it(
    database: Database, card: ModelCard, scorer: BuildScorer, network: Network, clock: Clock
) -> None:
    """What a batch failed with is tried again one by one: only the guilty film uses up its attempts."""
    prepared(database, card, {"2.25.11": [KILLER], "2.25.12": [50], "2.25.13": [60]})
    step = scorer(lease_seconds=60, max_attempts=2)
    with pytest.raises(ArithmeticError):
        score_batch(step)
    prepared(database, card, {"2.25.14": [70]})
    clock.advance(seconds=61)
    with pytest.raises(ArithmeticError):
        score_batch(step)
    assert [score_batch(step) for _ in range(4)] == [True, True, True, False]
    assert network.batches == [3, 1, 1, 1, 1, 1, 1]  # after each fault it is asked for a blank film
    assert [film for film, state in states(database).items() if state != ImageState.SCORED] == ["2.25.11"]


def test_a_host_that_can_score_nothing_sets_no_film_aside(
    database: Database, card: ModelCard, scorer: BuildScorer, network: Network, clock: Clock
) -> None:
    """A GPU that fell off answers for no film at all: no attempt is held against any, and all wait."""
    prepared(database, card, {"2.25.11": [50], "2.25.12": [60]})
    step = scorer(max_attempts=2)
    network.broken = True
    for _ in range(5):
        with pytest.raises(RuntimeError):
            score_batch(step)
        clock.advance(seconds=400)
    with database.read() as session:
        waiting = session.scalars(select(Score)).all()
    assert [(frame.attempts, frame.last_error) for frame in waiting] == [(0, "RuntimeError")] * 2
    network.broken = False
    assert score_batch(step)
    assert set(states(database).values()) == {ImageState.SCORED}
