"""Studies as they are judged, and the results that are said of them."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import and_, exists, select
from sqlalchemy.orm import Session

from dicom_io.reasons import Reason
from dicom_io.rejection import Rejection
from worker.db import after_commit
from worker.domain import (
    WORKING_STATES,
    DeliveryState,
    Flag,
    ImageState,
    ModelReference,
    Prediction,
    ScreeningStatus,
    Stage,
    Urgency,
)
from worker.metrics.definitions import RESULTS
from worker.repository.audit import record
from worker.repository.intake import insert_if_absent
from worker.repository.model_versions import RegisteredModel, as_registered, registered_models
from worker.tables import Delivery, Image, ModelVersion, Result, Score, Study
from worker.triage import ImageOutcome

_Models = dict[int, ModelReference]


def lock_study(session: Session, study_id: int) -> Study:
    """Take the study for the rest of the transaction, so that its results follow one another."""
    return session.scalars(select(Study).where(Study.id == study_id).with_for_update()).one()


def lock_studies(session: Session, image_ids: Sequence[int]) -> None:
    """Take the images' studies for the rest of the transaction, in one order and before their images, as intake does.

    Without it two workers that score the last two frames of an image at once would each see the other's as missing,
    and nobody would move the image on.
    """
    studies = select(Image.study_id).where(Image.id.in_(image_ids))
    session.execute(select(Study.id).where(Study.id.in_(studies)).order_by(Study.id).with_for_update())


def quiet_studies(session: Session, *, now: datetime, quiet: timedelta, limit: int) -> Sequence[int]:
    """Return studies that can be concluded: nothing arrived for `quiet` and every image is terminal.

    What arrived later than a silence from now did so before the clock was set back: that silence counts as over.
    """
    working = exists().where(Image.study_id == Study.id, Image.state.in_(WORKING_STATES))
    loud = and_(Study.last_received_at > now - quiet, Study.last_received_at <= now + quiet)
    statement = (
        select(Study.id)
        .where(Study.concluded_revision < Study.revision, ~loud, ~working)
        .order_by(Study.last_received_at)
        .limit(limit)
    )
    return session.scalars(statement).all()


def overdue_studies(session: Session, *, now: datetime, limit: int) -> Sequence[int]:
    """Return studies with work left after their due time of whose revision that is still unsaid; not the doctor's."""
    working = exists().where(Image.study_id == Study.id, Image.state.in_(WORKING_STATES))
    said = exists().where(Result.study_id == Study.id, Result.revision == Study.revision, Result.stage == Stage.OVERDUE)
    late = (Study.concluded_revision < Study.revision, Study.due_at <= now, ~Study.synthetic)
    statement = select(Study.id).where(*late, working, ~said)
    return session.scalars(statement.order_by(Study.due_at).limit(limit)).all()


def image_outcomes(session: Session, study_id: int) -> list[ImageOutcome]:
    """Load what became of the study's images, in order of arrival; each scored frame names the model that scored it."""
    models = {model.id: model.reference for model in registered_models(session)}
    images = session.scalars(select(Image).where(Image.study_id == study_id).order_by(Image.id)).all()
    frames: defaultdict[int, list[Score]] = defaultdict(list)
    for frame in session.scalars(select(Score).join(Image).where(Image.study_id == study_id).order_by(Score.id)):
        frames[frame.image_id].append(frame)
    return [_outcome(image, frames[image.id], models) for image in images]


def last_scoring_model(session: Session, study_id: int) -> RegisteredModel | None:
    """Return the model of the newest score that counts for the study; None if nothing of it was scored."""
    current = (Image.study_id == study_id, Image.state != ImageState.SUPERSEDED, Image.rejection.is_(None))
    statement = select(ModelVersion).join(Score, Score.model_version_id == ModelVersion.id).join(Image)
    newest = (
        statement.where(*current, Score.logit.is_not(None)).order_by(Score.scored_at.desc(), Score.id.desc()).limit(1)
    )
    row = session.scalars(newest).one_or_none()
    return None if row is None else as_registered(row)


def was_said(session: Session, study: Study, stage: Stage) -> bool:
    """Tell whether this was said of the study's revision, for whichever model."""
    said = exists().where(Result.study_id == study.id, Result.revision == study.revision, Result.stage == stage)
    return bool(session.scalar(select(said)))


def last_result_uid(session: Session, study_id: int) -> str | None:
    """Return the UID of the result that a new one supersedes."""
    statement = select(Result.result_uid).where(Result.study_id == study_id).order_by(Result.id.desc()).limit(1)
    return session.scalar(statement)


def told_destinations(session: Session, study_id: int) -> set[str]:
    """Return the destinations that were told of the study, or are about to be."""
    statement = select(Delivery.destination).join(Result).where(Result.study_id == study_id)
    return set(session.scalars(statement.distinct()))


def study_callers(session: Session, study_id: int) -> set[str]:
    """Return the calling AE titles that the study's images came from."""
    return set(session.scalars(select(Image.calling_ae_title).where(Image.study_id == study_id).distinct()))


def result_destinations(session: Session, result_uid: str) -> Sequence[str]:
    """Return where a result goes."""
    statement = select(Delivery.destination).join(Result).where(Result.result_uid == result_uid)
    return session.scalars(statement.order_by(Delivery.id)).all()


def add_result(
    session: Session, study: Study, flag: Flag, stage: Stage, model: RegisteredModel, destinations: Sequence[str]
) -> bool:
    """Append the result, its outbox rows and its event, and let the study say the same; once per stage and revision.

    Of the doctor's own study nothing is appended, since that could never be deleted again, and nobody is told.

    Returns:
        False if this was said before.
    """
    if study.synthetic:
        _update_study(study, flag)
        return True
    values = {
        "result_uid": flag.result_uid,
        "study_id": study.id,
        "revision": study.revision,
        "model_version_id": model.id,
        "stage": stage,
        "flag": flag.to_json(),
        "created_at": flag.created_at,
    }
    result_id = session.scalar(insert_if_absent(session, Result).values(**values).returning(Result.id))
    if result_id is None:
        return False
    for destination in destinations:
        session.add(_new_delivery(result_id, destination, flag))
    _update_study(study, flag)
    detail = {"result_uid": flag.result_uid, "stage": stage, "status": flag.status, "reason": flag.reason}
    record(session, "result", flag.created_at, study.study_instance_uid, **detail, **_priority(flag))
    after_commit(session, RESULTS.labels(stage, flag.status, flag.reason or "", flag.priority or "").inc)
    return True


def _outcome(image: Image, frames: Sequence[Score], models: _Models) -> ImageOutcome:
    state = ImageState(image.state)
    reason = Reason(image.reason) if image.reason else None
    if state in WORKING_STATES:
        reason = Reason.PENDING
    predictions = tuple(_prediction(image, frame, reason, models) for frame in frames) or (_unscreened(image, reason),)
    rejection = Rejection(image.rejection) if image.rejection else None
    return ImageOutcome(state, reason, tuple(image.warnings), predictions, rejection, image.withdrawn)


def _prediction(image: Image, score: Score, reason: Reason | None, models: _Models) -> Prediction:
    if score.logit is None:
        return _unscreened(image, reason, score.frame)
    if score.strange and not score.flagged:
        return _unscreened(image, Reason.OUT_OF_SCOPE_IMAGE, score.frame)
    return Prediction(
        sop_instance_uid=image.sop_instance_uid,
        content_sha256=image.content_sha256,
        frame=score.frame,
        status=ScreeningStatus.SCREENED,
        probability=score.probability,
        logit=score.logit,
        threshold=score.threshold,
        threshold_logit=score.threshold_logit,
        flagged=score.flagged,
        withdrawn=image.withdrawn and score.flagged,
        model=None if score.model_version_id is None else models[score.model_version_id],
    )


def _unscreened(image: Image, reason: Reason | None, frame: int = 1) -> Prediction:
    return Prediction(
        sop_instance_uid=image.sop_instance_uid,
        content_sha256=image.content_sha256,
        frame=frame,
        status=ScreeningStatus.UNSCREENED,
        reason=reason,
    )


def _new_delivery(result_id: int, destination: str, flag: Flag) -> Delivery:
    return Delivery(
        result_id=result_id,
        destination=destination,
        state=DeliveryState.PENDING,
        # A withdrawal that arrived after the next flag would take that one back: a flag must not overtake it.
        urgency=Urgency.HIGH if flag.priority or flag.withdrawn else Urgency.MEDIUM,
        created_at=flag.created_at,
    )


def _priority(flag: Flag) -> dict[str, str | None]:
    return {"priority": flag.priority, "priority_reason": flag.priority_reason}


def _update_study(study: Study, flag: Flag) -> None:
    study.status, study.reason = flag.status, flag.reason
    if flag.priority is not None:
        study.priority, study.priority_reason = flag.priority, flag.priority_reason
    if flag.complete:
        study.concluded_revision = study.revision
