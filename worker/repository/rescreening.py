"""Runs of re-screening and their chunks: begun, planned piece by piece, ended."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, ColumnExpressionArgument, delete, func, select, update
from sqlalchemy.orm import Session

from worker.domain import Urgency
from worker.repository.audit import record
from worker.repository.claims import ClaimPolicy, claim, exhausted, is_free
from worker.repository.intake import insert_if_absent
from worker.repository.model_versions import RegisteredModel, as_registered
from worker.rescreen_tables import Rescreen, RescreenChunk, RescreenPreparation
from worker.tables import ModelVersion, Study

STUDIES_PER_CHUNK = 256


class Outcome(StrEnum):
    """How a run ended."""

    FINISHED = "finished"
    STOPPED = "stopped"  # by a person


@dataclass(frozen=True, slots=True)
class Window:
    """Studies received from `since` on and before `until`, aware times."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Run:
    """A re-screening; the fields are those of its row, `model` is what it scores with."""

    id: int
    model: RegisteredModel
    window: Window
    deliver_after: datetime | None
    requested_by: str
    expected: int
    told: int
    open: bool
    outcome: str | None
    last_error: str | None
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class ChunkWork:
    """Studies to score, from the first to the last of these ids; `attempts` counts this one."""

    chunk_id: int
    run: Run
    first_study_id: int
    last_study_id: int
    attempts: int


def in_window(window: Window) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of a study that a re-screening of the window looks at."""
    return Study.received_at >= window.since, Study.received_at < window.until, ~Study.synthetic


def begin_run(
    session: Session,
    model: RegisteredModel,
    window: Window,
    *,
    by: str,
    expected: int,
    deliver_after: datetime | None,
    now: datetime,
) -> int | None:
    """Open a run.

    Returns:
        Its id; None if another one is open, or nothing was received in the window.
    """
    first = session.scalar(select(func.min(Study.id)).where(*in_window(window)))
    last = session.scalar(select(func.max(Study.id)).where(*in_window(window)))
    if first is None or last is None:
        return None
    nothing_to_do = not expected and deliver_after is None
    values = {
        "model_version_id": model.id,
        "since": window.since,
        "until": window.until,
        "requested_by": by,
        "deliver_after": deliver_after,
        "planned_study_id": last if nothing_to_do else first - 1,
        "last_study_id": last,
        "expected": expected,
        "started_at": now,
    }
    run_id = session.scalar(insert_if_absent(session, Rescreen).values(**values).returning(Rescreen.id))
    if run_id is not None:
        dates = {"since": window.since.isoformat(), "until": window.until.isoformat()}
        named = {"model": _name(model), "model_sha256": model.reference.sha256, **dates}
        asked: dict[str, str | float] = {"by": by, "frames": expected, "deliver": deliver_after is not None}
        record(session, "rescreen-started", now, None, rescreen_id=run_id, **named, **asked)
    return run_id


def runs_begun(session: Session, by: str, since: datetime) -> int:
    """Count the runs that somebody has begun after a time."""
    begun = select(func.count()).where(Rescreen.requested_by == by, Rescreen.started_at > since)
    return session.scalar(begun) or 0


def open_run(session: Session) -> Run | None:
    """Return the run that is going on."""
    return _run(session, Rescreen.open)


def last_run(session: Session) -> Run | None:
    """Return the run that was begun last."""
    return _run(session, Rescreen.id == select(func.max(Rescreen.id)).scalar_subquery())


def find_run(session: Session, run_id: int) -> Run | None:
    """Return a run by its number."""
    return _run(session, Rescreen.id == run_id)


def frames_done(session: Session, run_id: int) -> int:
    """Return how many frames a run has answered so far."""
    going_on = select(func.coalesce(func.sum(RescreenChunk.scored), 0)).where(RescreenChunk.rescreen_id == run_id)
    closed = select(Rescreen.scored).where(Rescreen.id == run_id)
    return (session.scalar(going_on) or 0) + (session.scalar(closed) or 0)


def claim_chunk(session: Session, run: Run, *, now: datetime, policy: ClaimPolicy) -> ChunkWork | None:
    """Take a chunk of a run that waits, else plan the next one; None where neither is to be had."""
    ids = claim(session, RescreenChunk, RescreenChunk.rescreen_id == run.id, limit=1, now=now, policy=policy)
    chunk = session.get_one(RescreenChunk, ids[0], populate_existing=True) if ids else _plan(session, run, now, policy)
    if chunk is None:
        return None
    return ChunkWork(chunk.id, run, chunk.first_study_id, chunk.last_study_id, chunk.attempts)


def close_chunk(session: Session, work: ChunkWork, *, now: datetime) -> bool:
    """End the work on a chunk; returns False if somebody else did, or the run was stopped."""
    closed = update(RescreenChunk).where(RescreenChunk.id == work.chunk_id, RescreenChunk.closed_at.is_(None))
    return session.scalar(closed.values(closed_at=now, lease_until=None).returning(RescreenChunk.id)) is not None


def is_open(session: Session, run: Run) -> bool:
    """Take a run that is going on for the rest of the transaction; returns False if it is not any more."""
    return _locked(session, run.id) is not None


def count_told(session: Session, run: Run) -> None:
    """Count a study that the run tells of, in the transaction that tells it."""
    session.execute(update(Rescreen).where(Rescreen.id == run.id).values(told=Rescreen.told + 1))


def put_back(session: Session, work: ChunkWork) -> None:
    """Let a chunk be taken again at once, for what is left of it."""
    mine = update(RescreenChunk).where(RescreenChunk.id == work.chunk_id, RescreenChunk.closed_at.is_(None))
    session.execute(mine.values(lease_until=None, attempts=RescreenChunk.attempts - 1))


def finish_run(session: Session, run: Run, *, now: datetime, policy: ClaimPolicy) -> bool:
    """End a run if all of it is planned and nothing of it waits; returns whether this call did."""
    row = _locked(session, run.id)
    if row is None or row.planned_study_id < row.last_study_id:
        return False
    _give_up(session, now, policy)
    waiting = select(func.count()).where(RescreenChunk.rescreen_id == run.id, RescreenChunk.closed_at.is_(None))
    if session.scalar(waiting):
        return False
    _end(session, row, run, Outcome.FINISHED, now)
    return True


def stop_run(session: Session, run: Run, *, by: str, now: datetime) -> bool:
    """End a run before its time; what it has scored stays."""
    row = _locked(session, run.id)
    if row is None:
        return False
    _end(session, row, run, Outcome.STOPPED, now, by=by)
    return True


def note_refusal(session: Session, run: Run, error: str | None) -> None:
    """Keep why a host cannot work on a run, or that one can again."""
    session.execute(update(Rescreen).where(Rescreen.id == run.id).values(last_error=error))


def has_rescreening_to_do(session: Session, *, now: datetime, policy: ClaimPolicy) -> bool:
    """Tell whether a chunk of the open run waits, is still to be planned, or the run is to be ended."""
    row = session.scalars(select(Rescreen).where(Rescreen.open)).one_or_none()
    if row is None:
        return False
    if row.planned_study_id < row.last_study_id:
        return True
    waiting = (RescreenChunk.rescreen_id == row.id, RescreenChunk.closed_at.is_(None))
    held = select(RescreenChunk.id).where(*waiting, ~is_free(RescreenChunk, now, policy)).limit(1)
    free = select(RescreenChunk.id).where(*waiting, is_free(RescreenChunk, now, policy)).limit(1)
    return session.scalar(free) is not None or session.scalar(held) is None


def _plan(session: Session, run: Run, now: datetime, policy: ClaimPolicy) -> RescreenChunk | None:
    """Make a chunk of the next studies, held by the caller; so that no run needs to be planned before it begins."""
    row = _locked(session, run.id)
    if row is None or row.planned_study_id >= row.last_study_id:
        return None
    after = (Study.id > row.planned_study_id, Study.id <= row.last_study_id, *in_window(run.window))
    ids = session.scalars(select(Study.id).where(*after).order_by(Study.id).limit(STUDIES_PER_CHUNK)).all()
    row.planned_study_id = ids[-1] if len(ids) == STUDIES_PER_CHUNK else row.last_study_id
    if not ids:
        return None
    chunk = RescreenChunk(
        rescreen_id=row.id,
        first_study_id=ids[0],
        last_study_id=ids[-1],
        urgency=Urgency.RESCREEN,
        attempts=1,
        lease_until=now + policy.lease,
    )
    session.add(chunk)
    session.flush()
    return chunk


def _give_up(session: Session, now: datetime, policy: ClaimPolicy) -> None:
    ids = exhausted(session, RescreenChunk, now=now, policy=policy)
    session.execute(update(RescreenChunk).where(RescreenChunk.id.in_(ids)).values(closed_at=now, lease_until=None))


def _end(session: Session, row: Rescreen, run: Run, outcome: Outcome, now: datetime, by: str | None = None) -> None:
    """Close the run; its chunks go, as a nightly run over a year has thousands."""
    row.scored = frames_done(session, row.id)
    row.open, row.outcome, row.ended_at, row.last_error = False, outcome, now, None
    chunks = select(RescreenChunk.id).where(RescreenChunk.rescreen_id == row.id)
    session.execute(chunks.with_for_update())  # whoever asks for a preparation meanwhile has done so, or will not
    session.execute(delete(RescreenPreparation).where(RescreenPreparation.chunk_id.in_(chunks)))
    session.execute(delete(RescreenChunk).where(RescreenChunk.rescreen_id == row.id))
    counts = {"frames": row.scored, "told": row.told}
    record(session, f"rescreen-{outcome}", now, None, rescreen_id=row.id, model=_name(run.model), by=by, **counts)


def _locked(session: Session, run_id: int) -> Rescreen | None:
    mine = select(Rescreen).where(Rescreen.id == run_id, Rescreen.open).with_for_update()
    return session.scalars(mine, execution_options={"populate_existing": True}).one_or_none()


def _run(session: Session, condition: ColumnExpressionArgument[bool]) -> Run | None:
    statement = select(Rescreen, ModelVersion).join(ModelVersion, ModelVersion.id == Rescreen.model_version_id)
    found = session.execute(statement.where(condition)).one_or_none()
    if found is None:
        return None
    row, model = found
    return Run(
        id=row.id,
        model=as_registered(model),
        window=Window(row.since, row.until),
        **{name: getattr(row, name) for name in Run.__slots__ if name not in ("id", "model", "window")},
    )


def _name(model: RegisteredModel) -> str:
    return f"{model.reference.name} {model.reference.version}"
