"""What readers said of studies, and that a study was read."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, String, case, exists, func, literal, select
from sqlalchemy.orm import Session, aliased

from worker.domain import PriorityReason, VerdictWord
from worker.repository.audit import record
from worker.tables import Study
from worker.web_tables import ReaderVerdict

DISAGREEMENT = "disagreement"  # of readers, in place of a verdict's word


class VerdictView(BaseModel):
    """What a reader said of a study; `counts` is false once the same reader has said something later.

    `revision` and `status` are the study's when it was said, and `flagged` says whether a finding had raised it then.
    The comment may name the patient.
    """

    model_config = ConfigDict(frozen=True, from_attributes=True)

    reader: str
    verdict: VerdictWord
    revision: int
    status: str | None
    flagged: bool
    comment: str | None
    said_at: datetime
    counts: bool


def is_known(session: Session, study_instance_uid: str) -> bool:
    """Tell whether the study was received."""
    return bool(session.scalar(select(exists().where(Study.study_instance_uid == study_instance_uid))))


def note_read(session: Session, study: Study, by: str, now: datetime) -> None:
    """Mark a locked study as read; nothing happens if it is."""
    if study.read_at is None:
        study.read_at = now
        record(session, "study-read", now, study.study_instance_uid, by=by)


def add_verdict(
    session: Session, study: Study, *, reader: str, verdict: VerdictWord, comment: str | None, now: datetime
) -> None:
    """Append what a reader says of a locked study; the event holds no comment."""
    row = ReaderVerdict(
        study_id=study.id,
        revision=study.revision,
        reader=reader,
        verdict=verdict,
        flagged=study.priority_reason == PriorityReason.FINDING,
        status=study.status,
        comment=comment,
        said_at=now,
    )
    session.add(row)
    session.flush()
    said: dict[str, str | float | None] = {"verdict": verdict, "flagged": row.flagged, "status": row.status}
    record(session, "reader-verdict", now, study.study_instance_uid, by=reader, verdict_id=row.id, **said)


def verdicts(session: Session, study_instance_uid: str) -> list[VerdictView]:
    """Return everything that readers said of a study, oldest first."""
    columns = [getattr(ReaderVerdict, name) for name in VerdictView.model_fields if name != "counts"]
    statement = select(*columns, counts().label("counts")).join(Study)
    rows = session.execute(statement.where(Study.study_instance_uid == study_instance_uid).order_by(ReaderVerdict.id))
    return [VerdictView.model_validate(row) for row in rows]


def counts() -> ColumnElement[bool]:
    """Whether a verdict is the newest of its reader on its study."""
    later = aliased(ReaderVerdict)
    same = (later.study_id == ReaderVerdict.study_id, later.reader == ReaderVerdict.reader)
    return ~exists().where(*same, later.id > ReaderVerdict.id)


def summary() -> ColumnElement[str | None]:
    """What the readers of a study say together: their one word, or `DISAGREEMENT`; null without a verdict."""
    of_study = (ReaderVerdict.study_id == Study.id, counts())
    words = (func.min(ReaderVerdict.verdict), func.max(ReaderVerdict.verdict))
    least, most = (select(word).where(*of_study).correlate(Study).scalar_subquery() for word in words)
    return case((least == most, least), (least < most, literal(DISAGREEMENT, String)))


def summarise(said: Sequence[VerdictView]) -> str | None:
    """Say the same of verdicts that are loaded."""
    words = {each.verdict.value for each in said if each.counts}
    return words.pop() if len(words) == 1 else DISAGREEMENT if words else None
