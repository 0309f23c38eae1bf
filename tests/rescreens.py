"""An archive that one model has judged, and another model that looks at it again, for the tests of re-screening."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import zstandard
from numpy.typing import NDArray
from sqlalchemy import select, update

from tests.studies import FOLDER, NOW, PACS, incoming, receive, score_everything
from worker.db import Database
from worker.domain import ImageState, ModelReference, Priority, PriorityReason
from worker.inference import Scores
from worker.model.artifact import ModelCard
from worker.repository.model_versions import CHOSEN, Entry, RegisteredModel, champion, put_in_service
from worker.repository.preparation import ImageWork, Preparation, finish_image
from worker.rescreening.engines import Engines
from worker.rescreening.scoring import Rescreener
from worker.service import Service, utc_now
from worker.stating import Speaker
from worker.tables import Image, Study

BETTER = ModelReference(name="resnet50", version="1.1.0", sha256="b" * 64)
SICK, WELL, STRANGE, NONSENSE, KILLER = 200, 20, 7, 255, 66  # grey levels, and what the other model makes of them


@dataclass(frozen=True)
class Answered:
    """Scores that are there at once."""

    scores: Scores

    def wait(self) -> None:
        """There is nothing to wait for."""

    def result(self) -> Scores:
        """Return them."""
        return self.scores


@dataclass
class GreyNetwork:
    """Answers with the grey level of a film's first pixel, less 100, as its logit; 255 is no number, 66 a fault."""

    card: ModelCard
    batches: list[int] = field(default_factory=list)
    broken: bool = False

    def start(self, pixels: NDArray[np.uint8]) -> "Answered":
        """Score a batch at once."""
        return Answered(self.score(pixels))

    def score(self, pixels: NDArray[np.uint8]) -> Scores:
        """Score a batch."""
        self.batches.append(len(pixels))
        if self.broken:
            raise RuntimeError("CUDA error: device lost")
        if (pixels[:, 0, 0] == KILLER).any():
            raise ArithmeticError
        logits = pixels[:, 0, 0].astype(np.float32) - 100
        logits[pixels[:, 0, 0] == NONSENSE] = np.nan
        distances = np.where(pixels[:, 0, 0] == STRANGE, 1000, 10).astype(np.float32)
        return Scores(logits, np.ones((len(pixels), 7, 7), np.float16), distances)


def film(level: int, size: int) -> bytes:
    """A prepared film of one grey level."""
    return zstandard.compress(np.full((size, size), level, np.uint8).tobytes())


def archive(
    database: Database,
    judged_by: RegisteredModel,
    card: ModelCard,
    films: Mapping[str, int],
    *,
    flagged: Collection[str] = (),
    at: datetime = NOW,
) -> None:
    """Receive, prepare and score films, `STUDY/FILM` and their grey levels; the named ones were flagged."""
    for name, level in films.items():
        study, _, uid = name.partition("/")
        archive_film(database, card, study, uid, level, at=at)
    score_everything(database, judged_by, flagged=[name.partition("/")[2] for name in flagged], at=at)
    with database.begin() as session:
        raised = update(Study).where(Study.study_instance_uid.in_([name.partition("/")[0] for name in flagged]))
        session.execute(raised.values(priority=Priority.HIGH, priority_reason=PriorityReason.FINDING))


def archive_film(
    database: Database, card: ModelCard, study: str, uid: str, level: int, *, at: datetime | None = None
) -> int:
    """Receive and prepare a film; it waits to be scored. Returns the id of its image."""
    now = at or utc_now()
    receive(database, incoming(uid, study=study, at=now))
    with database.begin() as session:
        of_film = select(Image.id, Study.study_instance_uid, Image.content_sha256).join(Study)
        row = session.execute(of_film.where(Image.sop_instance_uid == uid, Image.state == ImageState.RECEIVED)).one()
        preparation = Preparation(ImageState.PREPARED, (film(level, card.input_spec.size),), header=b"header")
        spec = card.input_spec.sha256
        assert finish_image(session, ImageWork(*row), preparation, input_spec_sha256=spec, now=now)
    return int(row.id)


def promote(database: Database, model: ModelReference = BETTER, at: datetime = NOW) -> RegisteredModel:
    """Put another model in service."""
    with database.begin() as session:
        before = champion(session)
        return put_in_service(session, model, at, replacing=before, location=CHOSEN, entry=Entry.PROMOTED)


def rescreener(
    service: Service,
    model: RegisteredModel,
    network: GreyNetwork,
    *,
    between: Callable[[], None] = lambda: None,
    shadow: bool = False,
    clock: Callable[[], float] = lambda: 0.0,
) -> Rescreener:
    """A score host on which a model is live."""

    def refuse(*_: object) -> GreyNetwork:
        raise AssertionError("no other model is to be loaded here")

    engines = Engines(service, lambda: (model, network), refuse)  # type: ignore[arg-type, return-value]
    return Rescreener(service, engines, lambda said: Speaker(said, (FOLDER, PACS), shadow=shadow), between, clock)


def finish(host: Rescreener) -> None:
    """Score until nothing is left."""
    while host.score_next_chunk():
        pass
