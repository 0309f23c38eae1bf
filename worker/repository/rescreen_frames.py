"""The frames of a re-screening: which are to be scored, and what another model says of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from dicom_io.reasons import Reason
from dicom_io.rejection import Rejection
from worker.db import BINARY
from worker.domain import ImageState, PriorityReason
from worker.model.judgement import FrameJudgement
from worker.repository.claims import ClaimPolicy
from worker.repository.prepared_pixels import complete, pixels_of_score
from worker.repository.rescreening import ChunkWork, Window, in_window
from worker.rescreen_tables import RescreenChunk, RescreenScore
from worker.tables import Image, Score, Study

_SHOWS_THE_PATIENT = tuple(rejection.value for rejection in Rejection if rejection.right_patient)
FIRST, LAST = (0, 0), (2**31 - 1, 0)  # before and after every frame
_KEY = ("model_version_id", "image_id", "frame")


class Lack(StrEnum):
    """Why a frame has no score of the other model."""

    NOT_PREPARED = "not-prepared"  # no prepared pixels of the model's input, and no file to make them of
    DAMAGED = "damaged"  # the prepared pixels are not those of a film of the model's size
    NO_SCORE = "no-score"  # the answer is no number


@dataclass(frozen=True, slots=True)
class Film:
    """A frame to score.

    Attributes:
        raised: whether its study has a priority for a finding.
        previous: of the model that judged it: model version id, logit, probability, flagged.
        pixels: zstd-compressed; None if none of the model's input are there.
        purged: whether the received file is gone.
    """

    image_id: int
    frame: int
    study_id: int
    content_sha256: str
    purged: bool
    raised: bool
    previous: tuple[int, float, float, bool]
    pixels: bytes | None

    @property
    def key(self) -> tuple[int, int]:
        """Its place in the order that frames are loaded in."""
        return self.image_id, self.frame


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a film: a judgement, or why there is none."""

    film: Film
    judgement: FrameJudgement | None
    lack: Lack | None = None
    activation_map: bytes | None = None


def is_judged() -> ColumnElement[bool]:
    """Return the condition of an image that a model has judged and that shows the patient it names.

    What is still being screened, failed, or was replaced is left to the live path.
    """
    doubtful = and_(Image.state == ImageState.OUT_OF_SCOPE, Image.reason == Reason.OUT_OF_SCOPE_IMAGE)
    shows = or_(Image.rejection.is_(None), Image.rejection.in_(_SHOWS_THE_PATIENT))
    return and_(or_(Image.state == ImageState.SCORED, doubtful), shows)


def count_frames(session: Session, window: Window, model_version_id: int) -> int:
    """Count the frames of a window that the model has not scored yet."""
    counted = _unscored(select(func.count()), model_version_id, RescreenScore.logit.is_not(None))
    return session.scalar(counted.where(*in_window(window))) or 0


def load_films(
    session: Session,
    work: ChunkWork,
    input_spec_sha256: str,
    *,
    after: tuple[int, int],
    limit: int,
    backwards: bool = False,
) -> list[Film]:
    """Load up to `limit` frames of a chunk that its run has not answered yet, after (or before) one of this key."""
    columns: tuple[Any, ...] = (Score.id, Score.image_id, Score.frame, Image.study_id, Score.content_sha256)
    facts: tuple[Any, ...] = (
        Image.purged_at.is_not(None),
        Study.priority_reason.is_not_distinct_from(PriorityReason.FINDING),
    )
    previous: tuple[Any, ...] = (Score.model_version_id, Score.logit, Score.probability, Score.flagged)
    of_chunk = Study.id.between(work.first_study_id, work.last_study_id)
    image_id, frame = after
    later = or_(Score.image_id > image_id, and_(Score.image_id == image_id, Score.frame > frame))
    earlier = or_(Score.image_id < image_id, and_(Score.image_id == image_id, Score.frame < frame))
    answered = or_(RescreenScore.logit.is_not(None), RescreenScore.rescreen_id == work.run.id)
    pixels = pixels_of_score(session, input_spec_sha256)
    statement = _unscored(select(*columns, *facts, *previous, pixels), work.run.model.id, answered)
    page = statement.where(of_chunk, *in_window(work.run.window), earlier if backwards else later)
    order = (Score.image_id.desc(), Score.frame.desc()) if backwards else (Score.image_id, Score.frame)
    rows = session.execute(page.order_by(*order).limit(limit), execution_options={BINARY: True}).all()
    return [_film(*row[1:]) for row in complete(session, rows, input_spec_sha256)]


def _film(image_id: int, frame: int, study_id: int, content: str, purged: bool, raised: bool, *rest: Any) -> Film:
    *previous, pixels = rest
    return Film(image_id, frame, study_id, content, purged, raised, tuple(previous), pixels)


def write_answers(
    session: Session, work: ChunkWork, answers: Sequence[Answer], *, now: datetime, policy: ClaimPolicy
) -> None:
    """Keep what the model says, and the chunk for another lease.

    A score that is there already stays, also if another process was faster.
    """
    held = update(RescreenChunk).where(RescreenChunk.id == work.chunk_id, RescreenChunk.closed_at.is_(None))
    session.execute(held.values(scored=RescreenChunk.scored + len(answers), lease_until=now + policy.lease))
    if not answers:
        return
    insert = (postgresql if session.get_bind().dialect.name == "postgresql" else sqlite).insert(RescreenScore)
    columns = [c.name for c in RescreenScore.__table__.columns if c.name not in _KEY]
    new = {name: insert.excluded[name] for name in columns}
    once = insert.on_conflict_do_update(index_elements=_KEY, set_=new, where=RescreenScore.logit.is_(None))
    session.execute(once, [_row(work, answer, now) for answer in answers])


def _row(work: ChunkWork, answer: Answer, now: datetime) -> dict[str, Any]:
    film, judged = answer.film, answer.judgement
    model_version_id, logit, probability, flagged = film.previous
    return {
        "model_version_id": work.run.model.id,
        "image_id": film.image_id,
        "frame": film.frame,
        "rescreen_id": work.run.id,
        "study_id": film.study_id,
        "lack": answer.lack,
        "logit": None if judged is None else judged.logit,
        "probability": None if judged is None else judged.probability,
        "threshold": None if judged is None else judged.threshold,
        "threshold_logit": None if judged is None else judged.threshold_logit,
        "flagged": judged is not None and judged.flagged,
        "scope_distance": None if judged is None else judged.scope_distance,
        "strange": judged is not None and judged.strange,
        "activation_map": answer.activation_map,
        "previous_model_version_id": model_version_id,
        "previous_logit": logit,
        "previous_probability": probability,
        "previous_flagged": flagged,
        "raised_before": film.raised,
        "scored_at": now,
    }


def _unscored(statement: Select[Any], model_version_id: int, answered: ColumnElement[bool]) -> Select[Any]:
    """Narrow a selection from `scores` to frames that other models have judged and this one has not."""
    mine = (RescreenScore.model_version_id == model_version_id, answered)
    scored = exists().where(*mine, RescreenScore.image_id == Score.image_id, RescreenScore.frame == Score.frame)
    joined = (
        statement.select_from(Score).join(Image, Image.id == Score.image_id).join(Study, Study.id == Image.study_id)
    )
    others = (Score.logit.is_not(None), Score.model_version_id != model_version_id)
    return joined.where(*others, is_judged(), ~scored)
