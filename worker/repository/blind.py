"""Studies for readers who must not know the flag before they judge."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session

from worker.domain import ImageState
from worker.tables import Image, Score, Study
from worker.web_tables import ReaderVerdict

MOST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class BlindStudy:
    """A study without anything that was said of it; `frames` are its films as pairs of image and number."""

    study_instance_uid: str
    accession_number: str | None
    received_at: datetime
    frames: tuple[tuple[int, int], ...] = ()


def unjudged(session: Session, reader: str, now: datetime, days: int) -> list[BlindStudy]:
    """Return the studies of these days that a reader has not judged as they are now, longest waiting first.

    Those without a film, of which nothing could be judged, are left out; the order says nothing of a flag.
    """
    statement = select(Study.study_instance_uid, Study.accession_number, Study.received_at).where(
        ~Study.synthetic,
        Study.received_at >= now - timedelta(days=days),
        exists().where(Image.study_id == Study.id, Image.state.in_((ImageState.PREPARED, ImageState.SCORED))),
        ~_judged_by(reader),
    )
    rows = session.execute(statement.order_by(Study.received_at, Study.id).limit(MOST_SHOWN))
    return [BlindStudy(*row) for row in rows]


def blind_study(session: Session, study_instance_uid: str) -> BlindStudy | None:
    """Return a study with its films; None if it is unknown."""
    columns = (Study.id, Study.study_instance_uid, Study.accession_number, Study.received_at)
    row = session.execute(select(*columns).where(Study.study_instance_uid == study_instance_uid)).one_or_none()
    if row is None:
        return None
    frames = (
        select(Score.image_id, Score.frame)
        .join(Image, Image.id == Score.image_id)
        .where(Image.study_id == row.id, Image.state != ImageState.SUPERSEDED)
        .distinct()
        .order_by(Score.image_id, Score.frame)
    )
    found = tuple((image_id, frame) for image_id, frame in session.execute(frames))
    return BlindStudy(row.study_instance_uid, row.accession_number, row.received_at, found)


def has_judged(session: Session, reader: str, study_instance_uid: str) -> bool:
    """Tell whether a reader has judged a study as it is now."""
    of_study = select(Study.id).where(Study.study_instance_uid == study_instance_uid, _judged_by(reader))
    return session.scalar(of_study) is not None


def _judged_by(reader: str) -> ColumnElement[bool]:
    verdict = ReaderVerdict
    return exists().where(verdict.study_id == Study.id, verdict.reader == reader, verdict.revision == Study.revision)
