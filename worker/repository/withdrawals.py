"""A reader's word against a flag: the one thing that lowers a priority."""

from sqlalchemy import Exists, exists, select, update
from sqlalchemy.orm import Session

from worker.domain import WORKING_STATES
from worker.tables import Image, Score, Study


def study_to_correct(session: Session, study_instance_uid: str) -> Study | None:
    """Take a study for the rest of the transaction; None if it is unknown."""
    statement = select(Study).where(Study.study_instance_uid == study_instance_uid).with_for_update()
    return session.scalars(statement).one_or_none()


def is_flagged_in_part(session: Session, study: Study) -> bool:
    """Tell whether a frame is flagged of an image that has others still to be scored.

    Such an image cannot be marked: what its other frames show, nobody has seen.
    """
    partly = exists().where(Image.study_id == study.id, Image.state.in_(WORKING_STATES), _flagged())
    return bool(session.scalar(select(partly)))


def withdraw_flag(session: Session, study: Study) -> list[str]:
    """Lower the study's priority, and mark the images that raised it so that they raise it no more.

    The study's revision rises, since something new is known of it; it is concluded or open as before.

    Returns:
        The SOP Instance UIDs of the images.
    """
    flagged = update(Image).where(Image.study_id == study.id, _flagged()).values(withdrawn=True)
    marked = session.scalars(flagged.returning(Image.sop_instance_uid)).all()
    study.priority = study.priority_reason = None
    if study.concluded_revision == study.revision:
        study.concluded_revision += 1
    study.revision += 1
    return sorted(marked)


def _flagged() -> Exists:
    return exists().where(Score.image_id == Image.id, Score.flagged)
