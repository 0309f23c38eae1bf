"""What a re-screening changes: newly flagged studies that are told, and the audit trail of both directions."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, case, exists, func, select
from sqlalchemy.orm import Session

from worker.domain import ImageState, Origin, PriorityReason
from worker.model.judgement import STRANGE_FLAGGED_IMAGE
from worker.repository.audit import record
from worker.repository.rescreen_frames import is_judged
from worker.repository.rescreening import ChunkWork
from worker.rescreen_tables import RescreenScore
from worker.tables import Image, Score, Study

_JUDGEMENT = ("logit", "probability", "threshold", "threshold_logit", "flagged", "scope_distance", "strange")


def studies_to_tell(session: Session, work: ChunkWork) -> Sequence[int]:
    """Return the studies of a chunk that the model newly flags and that are young enough to be told.

    Whichever run scored them, so that a report can be looked at before anybody is told. What a reader withdrew raises
    nothing again, whichever model sees it.
    """
    young = Study.received_at >= work.run.deliver_after
    of_chunk = Study.id.between(work.first_study_id, work.last_study_id)
    statement = select(Study.id).where(of_chunk, young, ~Study.synthetic, _is_newly_flagged(work.run.model.id))
    return session.scalars(statement.order_by(Study.id)).all()


def adopt(session: Session, study_id: int, model_version_id: int, now: datetime) -> bool:
    """Let a locked study's frames say what the model says, so that every later result of it does; once.

    A frame that a reader's word stands against, and one that does not look like a chest film to the model without
    being flagged, keep what was said of them.

    Returns:
        Whether the study is newly flagged by it; if not, nothing is changed.
    """
    if not session.scalar(select(Study.id).where(Study.id == study_id, _is_newly_flagged(model_version_id))):
        return False
    mine = (RescreenScore.study_id == study_id, RescreenScore.model_version_id == model_version_id)
    rows = (
        select(RescreenScore, Score, Image)
        .join(Image, Image.id == RescreenScore.image_id)
        .join(Score, (Score.image_id == Image.id) & (Score.frame == RescreenScore.frame))
        .where(*mine, RescreenScore.logit.is_not(None), is_judged(), ~Image.withdrawn)
    )
    for said, score, image in session.execute(rows).all():
        if said.flagged or (image.state == ImageState.SCORED and not said.strange):
            _take_over(said, score, image, now)
    session.flush()
    return True


def record_changes(session: Session, work: ChunkWork, now: datetime) -> int:
    """Append an event for each study of a chunk that this run flags newly, or that its model no longer flags.

    Returns:
        How many.
    """
    r = RescreenScore
    flags, flagged_before = func.max(case((r.flagged, 1), else_=0)), func.max(case((r.previous_flagged, 1), else_=0))
    highest, raised = func.max(r.probability), func.max(case((r.raised_before, 1), else_=0))
    of_chunk = (r.rescreen_id == work.run.id, r.study_id.between(work.first_study_id, work.last_study_id))
    changed = (
        select(Study.study_instance_uid, flags, highest, func.max(r.threshold))
        .join(Image, Image.id == r.image_id)
        .join(Study, Study.id == r.study_id)
        .where(*of_chunk, r.model_version_id == work.run.model.id, r.logit.is_not(None), ~Image.withdrawn)
        .group_by(Study.id)
        .having(((flags == 1) & (raised == 0)) | ((flags == 0) & (flagged_before == 1)))
        .order_by(Study.id)
    )
    reference = work.run.model.reference
    model = {"model": f"{reference.name} {reference.version}", "model_sha256": reference.sha256}
    run_id = work.run.id
    rows = session.execute(changed).all()
    for uid, flagged, probability, threshold in rows:
        numbers = {"probability": probability, "threshold": threshold, "flagged": bool(flagged)}
        record(session, "study-rescreened", now, uid, rescreen_id=run_id, **model, **numbers)
    return len(rows)


def _take_over(said: RescreenScore, score: Score, image: Image, now: datetime) -> None:
    for name in _JUDGEMENT:
        setattr(score, name, getattr(said, name))
    score.activation_map = said.activation_map
    score.model_version_id, score.origin, score.scored_at = said.model_version_id, Origin.RESCREEN, now
    image.state, image.reason = ImageState.SCORED, None
    if said.strange and STRANGE_FLAGGED_IMAGE not in image.warnings:
        image.warnings = [*image.warnings, STRANGE_FLAGGED_IMAGE]


def _is_newly_flagged(model_version_id: int) -> ColumnElement[bool]:
    flagged = exists().where(
        RescreenScore.study_id == Study.id,
        RescreenScore.model_version_id == model_version_id,
        RescreenScore.flagged,
        Image.id == RescreenScore.image_id,
        ~Image.withdrawn,
        is_judged(),
    )
    return Study.priority_reason.is_distinct_from(PriorityReason.FINDING) & flagged
