"""The difference that a model makes in a window, counted in SQL, so that it needs no more memory for a longer window.

It goes by the window and the model, not by the run: what an earlier run has scored is part of it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    ColumnExpressionArgument,
    Integer,
    Select,
    Subquery,
    and_,
    case,
    cast,
    exists,
    func,
    select,
)
from sqlalchemy.orm import Session

from worker.domain import WORKING_STATES, ImageState, ModelReference, Origin, Stage
from worker.repository.model_versions import registered_models
from worker.repository.rescreen_frames import Lack, count_frames, is_judged
from worker.repository.rescreen_preparation import count_unprepared
from worker.repository.rescreen_views import (
    Bin,
    ChangedStudy,
    Changes,
    Counts,
    Difference,
    Pair,
    RescreenedFrame,
    RunView,
    Shift,
)
from worker.repository.rescreening import Run, frames_done, in_window, last_run
from worker.rescreen_tables import RescreenScore
from worker.tables import Image, ModelVersion, Result, Score, Study

MOST_LISTED = 10_000  # studies in each list of a report
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_STEPS = 1000  # of probability, to which the quantiles are exact
_CHANGES = tuple(Changes.model_fields)


def difference(session: Session, run: Run, now: datetime) -> Difference:
    """Say what the run's model says otherwise of the studies of its window."""
    pairs = _pairs(session, run)
    return Difference(
        run=run_view(session, run),
        counts=_counts(session, run),
        studies=_sum([pair.studies for pair in pairs]),
        frames=_sum([pair.frames for pair in pairs]),
        pairs=pairs,
        newly_flagged=_listed(session, run, "newly_flagged"),
        no_longer_flagged=_listed(session, run, "no_longer_flagged"),
        lacking=_lacking(session, run),
        created_at=now,
    )


def run_view(session: Session, run: Run) -> RunView:
    """Return how a run stands."""
    return RunView(
        number=run.id,
        model=run.model.reference,
        since=run.window.since,
        until=run.window.until,
        requested_by=run.requested_by,
        deliver=run.deliver_after is not None,
        frames=run.expected,
        done=frames_done(session, run.id),
        told=run.told,
        to_prepare=count_unprepared(session),
        outcome=run.outcome,
        waiting_for=run.last_error,
        started_at=run.started_at,
        ended_at=run.ended_at,
    )


def last_run_view(session: Session) -> RunView | None:
    """Return how the run that was begun last stands; None before the first."""
    run = last_run(session)
    return None if run is None else run_view(session, run)


def rescreened_frames(session: Session, study_instance_uid: str) -> list[RescreenedFrame]:
    """Return what re-screenings said of a study's frames, oldest first."""
    r, model = RescreenScore, (ModelVersion.name + " " + ModelVersion.version).label("model")
    columns = [getattr(r, name) for name in RescreenedFrame.model_fields if name != "model"]
    statement = select(*columns, model).join(Study, Study.id == r.study_id)
    of_study = statement.join(ModelVersion, ModelVersion.id == r.model_version_id)
    rows = session.execute(
        of_study.where(Study.study_instance_uid == study_instance_uid).order_by(r.scored_at, r.image_id, r.frame)
    )
    return [RescreenedFrame.model_validate(row) for row in rows]


def _said(columns: Sequence[Any], run: Run, *conditions: ColumnExpressionArgument[bool]) -> Select[Any]:
    """Select from the answers that count; that of an image which a newer object replaced since does not."""
    joined = select(*columns).select_from(RescreenScore).join(Image, Image.id == RescreenScore.image_id)
    window = (RescreenScore.model_version_id == run.model.id, *in_window(run.window))
    return joined.join(Study, Study.id == RescreenScore.study_id).where(*window, is_judged(), *conditions)


def _change(
    flagged: ColumnExpressionArgument[bool],
    before: ColumnExpressionArgument[bool],
    lost: ColumnExpressionArgument[bool],
) -> Any:
    return case(
        (and_(flagged, before), "still_flagged"),
        (flagged, "newly_flagged"),
        (lost, "no_longer_flagged"),
        else_="never_flagged",
    )


def _any(condition: ColumnExpressionArgument[bool]) -> ColumnElement[bool]:
    return func.max(case((condition, 1), else_=0)) == 1


def _by_study(run: Run) -> Subquery:
    r = RescreenScore
    flagged, before = _any(r.flagged & ~Image.withdrawn), _any(r.previous_flagged & ~Image.withdrawn)
    columns = (
        r.study_id,
        func.max(r.previous_model_version_id).label("previous"),
        _change(flagged, _any(r.raised_before), before).label("change"),
        func.max(r.previous_probability).label("previous_probability"),
        func.max(r.probability).label("probability"),
        func.max(r.threshold).label("threshold"),
    )
    return _said(columns, run, r.logit.is_not(None)).group_by(r.study_id).subquery()


def _pairs(session: Session, run: Run) -> list[Pair]:
    models = {model.id: model.reference for model in registered_models(session)}
    frames, studies = _frame_changes(session, run), _study_changes(session, run)
    return [_pair(session, run, models[number], number, frames[number], studies) for number in sorted(frames)]


def _pair(
    session: Session,
    run: Run,
    reference: ModelReference,
    number: int,
    frames: Changes,
    studies: Mapping[int, Changes],
) -> Pair:
    shift = _shift(session, run, number)
    return Pair(previous=reference, frames=frames, studies=studies.get(number, Changes()), shift=shift)


def _frame_changes(session: Session, run: Run) -> dict[int, Changes]:
    r = RescreenScore
    change = _change(r.flagged, r.previous_flagged, r.previous_flagged).label("change")
    statement = _said((r.previous_model_version_id, change, func.count()), run, r.logit.is_not(None))
    return _tallied(session.execute(statement.group_by(r.previous_model_version_id, change)).all())


def _study_changes(session: Session, run: Run) -> dict[int, Changes]:
    studies = _by_study(run).c
    statement = select(studies.previous, studies.change, func.count()).group_by(studies.previous, studies.change)
    return _tallied(session.execute(statement).all())


def _tallied(rows: Sequence[Any]) -> dict[int, Changes]:
    counts: dict[int, dict[str, int]] = {}
    for number, change, count in rows:
        counts.setdefault(number, {})[change] = count
    return {number: Changes(**found) for number, found in counts.items()}


def _sum(changes: Sequence[Changes]) -> Changes:
    return Changes(**{name: sum(getattr(change, name) for change in changes) for name in _CHANGES})


def _shift(session: Session, run: Run, previous: int) -> Shift:
    r = RescreenScore
    mine = (r.logit.is_not(None), r.previous_model_version_id == previous)
    moved = r.probability - r.previous_probability
    means = _said((func.avg(moved), func.avg(r.logit - r.previous_logit)), run, *mine)
    mean_probability, mean_logit = session.execute(means).one()
    step = cast(func.round(moved * _STEPS), Integer).label("step")
    rows = session.execute(_said((step, func.count()), run, *mine).group_by(step).order_by(step)).all()
    bins = [Bin(at=number / _STEPS, frames=count) for number, count in rows]
    return Shift(mean_probability=mean_probability, mean_logit=mean_logit, quantiles=_quantiles(bins), bins=bins)


def _quantiles(bins: Sequence[Bin]) -> dict[str, float]:
    total, found = sum(each.frames for each in bins), {}
    for share in QUANTILES:
        below = 0
        for each in bins:
            below += each.frames
            if below >= share * total:
                found[str(share)] = each.at
                break
    return found


def _listed(session: Session, run: Run, change: str) -> list[ChangedStudy]:
    studies = _by_study(run)
    newly = change == "newly_flagged"
    said = (Result.study_id == Study.id, Result.model_version_id == run.model.id, Result.stage == Stage.RESCREENED)
    columns = (studies.c.previous_probability, studies.c.probability, studies.c.threshold)
    statement = (
        select(Study.study_instance_uid, Study.accession_number, Study.received_at, *columns, exists().where(*said))
        .join(studies, studies.c.study_id == Study.id)
        .where(studies.c.change == change)
        .order_by(studies.c.probability.desc() if newly else studies.c.probability, Study.id)
        .limit(MOST_LISTED)
    )
    names = tuple(ChangedStudy.model_fields)
    return [ChangedStudy(**dict(zip(names, row, strict=True))) for row in session.execute(statement)]


def _counts(session: Session, run: Run) -> Counts:
    r = RescreenScore
    rows = session.execute(_said((r.lack, func.count()), run).group_by(r.lack))
    by_lack: dict[str | None, int] = {lack: count for lack, count in rows}  # noqa: C416 - rows are no pairs to mypy
    lacks = {lack.name.lower(): by_lack.get(lack, 0) for lack in Lack}
    withdrawn = _said((func.count(),), run, Image.withdrawn, r.flagged)
    left = count_frames(session, run.window, run.model.id) - sum(lacks.values())
    return Counts(
        studies=session.scalar(select(func.count(Study.id)).where(*in_window(run.window))) or 0,
        studies_scored=session.scalar(select(func.count()).select_from(_by_study(run))) or 0,
        frames_scored=by_lack.get(None, 0),
        **lacks,
        unanswered=max(left, 0),
        withdrawn=session.scalar(withdrawn) or 0,
        already=_judged_live(session, run),
        **_left_alone(session, run),
    )


def _judged_live(session: Session, run: Run) -> int:
    live = (Score.model_version_id == run.model.id, Score.logit.is_not(None), Score.origin != Origin.RESCREEN)
    statement = select(func.count()).select_from(Score).join(Image, Image.id == Score.image_id).join(Study)
    return session.scalar(statement.where(*live, is_judged(), *in_window(run.window))) or 0


def _left_alone(session: Session, run: Run) -> dict[str, int]:
    reasons = {
        "being_screened": Image.state.in_(WORKING_STATES),
        "failed": Image.state == ImageState.FAILED,
        "other_patient": (Image.state == ImageState.SCORED) & ~is_judged(),
    }
    counted = (func.count(Image.id).filter(condition).label(name) for name, condition in reasons.items())
    row = session.execute(select(*counted).join(Study).where(*in_window(run.window))).one()
    return dict(zip(reasons, row, strict=True))


def _lacking(session: Session, run: Run) -> list[str]:
    statement = _said((Image.sop_instance_uid,), run, RescreenScore.lack.is_not(None)).distinct()
    return list(session.scalars(statement.order_by(Image.sop_instance_uid).limit(MOST_LISTED)))
