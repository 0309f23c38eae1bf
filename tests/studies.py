"""Studies on their way through SQL, for the tests of everything that works with the tables."""

import hashlib
import json
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_io.reasons import Reason
from dicom_io.types import SOPInstanceReference
from worker.db import Database
from worker.destinations import DicomDestination, FolderDestination
from worker.domain import (
    FINDING,
    Flag,
    ImageState,
    ModelReference,
    Origin,
    Prediction,
    Priority,
    PriorityReason,
    ScreeningStatus,
    Stage,
    Urgency,
)
from worker.model.judgement import FrameJudgement
from worker.repository.claims import ClaimPolicy, claim
from worker.repository.intake import IncomingImage, Receipt, record_image
from worker.repository.model_versions import RegisteredModel, put_shipped_model_in_service
from worker.repository.preparation import ImageWork, Preparation, finish_image
from worker.repository.results import add_result, lock_study
from worker.repository.scoring import FrameScore, finish_frames
from worker.tables import Delivery, Image, Result, Score, Study

NOW = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
POLICY = ClaimPolicy(lease=60 * SECOND, max_attempts=3, retry=2 * SECOND, retry_max=300 * SECOND, chance=lambda: 1.0)
INPUT_SPEC = "5" * 64
MODEL = ModelReference(name="resnet50", version="1.0.0", sha256="a" * 64)
STUDY = "2.25.1"
FOLDER = FolderDestination(kind="folder", name="flags", path=Path("flags"))
PACS = DicomDestination(kind="dicom", name="pacs", ae_title="PACS", host="127.0.0.1", port=104)
CR = "1.2.840.10008.5.1.4.1.1.1"


def sha256(text: str) -> str:
    """64 hex digits that stand for content."""
    return hashlib.sha256(text.encode()).hexdigest()


def incoming(
    film: str = "2.25.11",
    *,
    study: str = STUDY,
    content: str = "first",
    urgency: Urgency = Urgency.MEDIUM,
    at: datetime = NOW,
    accession_number: str | None = "ACC1",
) -> IncomingImage:
    """A film as the listener hands it over; due half an hour later."""
    return IncomingImage(
        reference=SOPInstanceReference(study, f"{study}.0", CR, film),
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        content_sha256=sha256(f"{study} {film} {content}"),
        data_set_bytes=1000,
        accession_number=accession_number,
        calling_ae_title="PACS1",
        urgency=urgency,
        received_at=at,
        due_at=at + 30 * MINUTE,
    )


def receive(database: Database, *films: IncomingImage) -> list[Receipt]:
    """Record films, each in a transaction of its own."""
    receipts = []
    for film in films:
        with database.begin() as session:
            receipts.append(record_image(session, film))
    return receipts


def prepare(
    database: Database,
    film: str = "2.25.11",
    *,
    frames: int = 1,
    state: ImageState = ImageState.PREPARED,
    reason: Reason | None = None,
    header: bytes = b"header",
    at: datetime = NOW,
) -> bool:
    """Finish the preparation of a film's current object."""
    with database.begin() as session:
        row = session.execute(
            select(Image.id, Study.study_instance_uid, Image.content_sha256)
            .join(Study)
            .where(Image.sop_instance_uid == film, Image.state != ImageState.SUPERSEDED)
        ).one()
        pixels = tuple(bytes([number]) for number in range(frames)) if state is ImageState.PREPARED else ()
        preparation = Preparation(state, frames=pixels, reason=reason, header=header)
        return finish_image(session, ImageWork(*row), preparation, input_spec_sha256=INPUT_SPEC, now=at)


def frame_score(score_id: int, *, flagged: bool = False, strange: bool = False) -> FrameScore:
    """What the network says of a frame, on one side of the threshold or the other."""
    judgement = FrameJudgement(
        logit=2.5 if flagged else -4.0,
        probability=0.92 if flagged else 0.02,
        threshold=0.31,
        threshold_logit=-0.8,
        flagged=flagged,
        scope_distance=30.0 if strange else 15.0,
        strange=strange,
    )
    return FrameScore(score_id, judgement, b"\0" * 98)


def put_in_service(database: Database, model: ModelReference = MODEL) -> RegisteredModel:
    """Make a model the champion."""
    with database.begin() as session:
        return put_shipped_model_in_service(session, model, NOW)


def score_everything(
    database: Database, champion: RegisteredModel, *, flagged: Collection[str] = (), at: datetime = NOW
) -> None:
    """Score every frame that waits; those of the named films come out over the threshold."""
    with database.begin() as session:
        ids = claim(session, Score, limit=1000, now=at, policy=POLICY)
        films = session.execute(select(Score.id, Image.sop_instance_uid).join(Image).where(Score.id.in_(ids)))
        scores = [frame_score(score_id, flagged=film in flagged) for score_id, film in films]
        finish_frames(session, scores, model_version_id=champion.id, now=at)


@contextmanager
def rolled_back(database: Database) -> Iterator[Session]:
    """A transaction that fails at its end."""
    with suppress(LookupError), database.begin() as session:
        yield session
        session.flush()
        raise LookupError


def study_id(database: Database, study: str = STUDY) -> int:
    """The row of a study."""
    with database.read() as session:
        return session.scalars(select(Study.id).where(Study.study_instance_uid == study)).one()


def result(study: str = STUDY, *, revision: int = 1, flagged: bool = False, complete: bool = True) -> Flag:
    """A result with a fresh UID."""
    prediction = Prediction(
        sop_instance_uid="2.25.11",
        content_sha256=sha256(f"{study} 2.25.11 first"),
        frame=1,
        status=ScreeningStatus.SCREENED,
        flagged=flagged,
    )
    return Flag(
        result_uid=f"2.25.{uuid.uuid4().int}",
        supersedes=None,
        revision=revision,
        complete=complete,
        origin=Origin.LIVE,
        study_instance_uid=study,
        accession_number=None,
        status=ScreeningStatus.SCREENED,
        reason=None,
        priority=Priority.HIGH if flagged else None,
        priority_reason=PriorityReason.FINDING if flagged else None,
        finding=FINDING if flagged else None,
        images=(prediction,),
        model=MODEL,
        created_at=NOW,
    )


def say(
    database: Database,
    champion: RegisteredModel,
    flag: Flag,
    *,
    stage: Stage = Stage.COMPLETE,
    to: Sequence[str] = ("flags",),
) -> bool:
    """Append a result for its study and put it into the outbox."""
    with database.begin() as session:
        study = lock_study(session, study_id(database, flag.study_instance_uid or ""))
        return add_result(session, study, flag, stage, champion, to)


def results(database: Database) -> Sequence[Result]:
    """All results in the order they were said."""
    with database.read() as session:
        return session.scalars(select(Result).order_by(Result.id)).all()


def flags(database: Database) -> list[dict[str, object]]:
    """Their JSON flags."""
    return [json.loads(result.flag) for result in results(database)]


def outbox(database: Database) -> list[tuple[str, int, str, int]]:
    """Stage, revision, destination and urgency of every delivery."""
    with database.read() as session:
        rows = session.execute(
            select(Result.stage, Result.revision, Delivery.destination, Delivery.urgency)
            .join(Delivery)
            .order_by(Delivery.id)
        )
        return [tuple(row) for row in rows]


def the_study(database: Database) -> Study:
    """The only study."""
    with database.read() as session:
        return session.scalars(select(Study)).one()


def state(database: Database, how: Callable[..., bool]) -> bool:
    """Let the speaker speak of the only study, in a transaction of its own."""
    with database.begin() as session:
        return how(session, study_id(database), NOW)
