"""The doctor's own studies, and how retention takes them away.

Only who writes to the database makes a study synthetic, under a UID that nobody else can guess. And none goes that
holds more than the doctor sends, which is one object: if somebody sends another one under its UID, all of it stays.

Their events stay in the audit trail, which the database lets nobody delete. So do results, which earlier versions
said of such studies: there the row of the study stays, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from worker.domain import WORKING_STATES
from worker.rescreen_tables import RescreenScore
from worker.tables import Delivery, Image, PreparedImage, Result, Score, Study
from worker.web_tables import ReaderVerdict

_UNSYNCHRONISED = {"synchronize_session": False}


@dataclass(frozen=True, slots=True)
class OwnStudy:
    """A study of the doctor's; `content_sha256` is its film's, None if that never came."""

    id: int
    study_instance_uid: str
    content_sha256: str | None


def is_synthetic(session: Session, study_instance_uid: str) -> bool:
    """Tell whether a study is the doctor's own."""
    return bool(session.scalar(select(Study.synthetic).where(Study.study_instance_uid == study_instance_uid)))


def is_own() -> ColumnElement[bool]:
    """Return the condition of an image that is the doctor's."""
    return exists().where(Study.id == Image.study_id, Study.synthetic)


def mark(*, synthetic: bool) -> dict[str, bool]:
    """Return what the detail of an event of the doctor's own study holds beside the rest, so that it is not counted."""
    return {"synthetic": True} if synthetic else {}


def count_own(session: Session, *, before: datetime) -> int:
    """Count the doctor's studies that may go."""
    return session.scalar(select(func.count(Study.id)).where(*_may_go(before))) or 0


def own_studies(session: Session, *, before: datetime, limit: int, after: int = 0) -> Sequence[int]:
    """Return up to `limit` ids of the doctor's studies that may go, in their order from `after` on."""
    ids = select(Study.id).where(Study.id > after, *_may_go(before))
    return session.scalars(ids.order_by(Study.id).limit(limit)).all()


def lock_own(session: Session, study_ids: Sequence[int], *, before: datetime) -> Sequence[OwnStudy]:
    """Take the studies for the rest of the transaction; returns those that still may go."""
    named = Study.id.in_(study_ids)
    session.execute(select(Study.id).where(named).order_by(Study.id).with_for_update())
    rows = select(Study.id, Study.study_instance_uid, Image.content_sha256).outerjoin(Image)
    return [OwnStudy(*row) for row in session.execute(rows.where(named, *_may_go(before)).order_by(Study.id))]


def shared_contents(session: Session, studies: Sequence[OwnStudy]) -> set[str]:
    """Return which contents of these studies another study has, too."""
    contents = [study.content_sha256 for study in studies if study.content_sha256]
    others = Image.study_id.not_in([study.id for study in studies])
    return set(session.scalars(select(Image.content_sha256).where(Image.content_sha256.in_(contents), others)))


def delete_own(session: Session, studies: Sequence[OwnStudy]) -> int:
    """Delete what is kept of locked studies; returns how many prepared images went with them."""
    ids = [study.id for study in studies]
    alone = {study.content_sha256 for study in studies if study.content_sha256} - shared_contents(session, studies)
    images = select(Image.id).where(Image.study_id.in_(ids))
    prepared = delete(PreparedImage).where(PreparedImage.content_sha256.in_(alone)).returning(PreparedImage.frame)
    count = len(session.scalars(prepared, execution_options=_UNSYNCHRONISED).all())
    for rows in (
        delete(Score).where(Score.image_id.in_(images)),
        delete(Image).where(Image.study_id.in_(ids)),
        delete(Study).where(Study.id.in_(ids), ~_was_spoken_of()),
    ):
        session.execute(rows, execution_options=_UNSYNCHRONISED)
    return count


def _may_go(before: datetime) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions: old, concluded, nothing at work, nobody told of it, and no more than the doctor sends."""
    film = aliased(Image)
    of_study = film.study_id == Study.id
    objects = select(func.count(film.id)).where(of_study).scalar_subquery()
    return (
        Study.synthetic.is_(True),
        Study.received_at <= before,
        Study.last_received_at <= before,
        Study.concluded_revision >= Study.revision,
        Study.accession_number.is_(None),
        or_(objects == 1, and_(objects == 0, ~_was_spoken_of())),
        ~exists().where(of_study, or_(film.state.in_(WORKING_STATES), film.committed_until.is_not(None))),
        ~exists().where(of_study, Score.image_id == film.id, Score.scored_at.is_(None)),
        ~exists().where(Result.study_id == Study.id, Delivery.result_id == Result.id),
        ~exists().where(ReaderVerdict.study_id == Study.id),
        ~exists().where(RescreenScore.study_id == Study.id),
    )


def _was_spoken_of() -> ColumnElement[bool]:
    return exists().where(Result.study_id == Study.id)
