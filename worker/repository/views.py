"""What people and programs look at: the worklist, one study's history, and how the service stands."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, ScalarSelect, Select, case, func, select, union_all
from sqlalchemy.orm import Session

from worker.domain import DeliveryState, ImageState
from worker.repository.claims import is_work
from worker.repository.counting import count_studies
from worker.repository.model_versions import champion, in_service_since
from worker.repository.rescreen_difference import rescreened_frames
from worker.repository.rescreen_views import RescreenedFrame
from worker.repository.synthetic import is_own
from worker.repository.verdicts import VerdictView, summary, verdicts
from worker.repository.waiting import signals
from worker.table_base import Claimable
from worker.tables import Commitment, Delivery, Event, Image, ModelVersion, Result, Score, Study
from worker.timeline import sentence


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class WorklistEntry(_View):
    """A study on the worklist; `status` is null while nothing has been said of it, `complete` is of this revision.

    `read_at` is null while an image of it is unread; then `waiting_since` is when the first one came, or the first one
    that came after it was read. `verdict` is what its readers say together: `agrees`, `disagrees`
    or `disagreement`; null if none has said anything.
    """

    study_instance_uid: str
    accession_number: str | None
    revision: int
    complete: bool
    status: str | None
    reason: str | None
    priority: str | None
    priority_reason: str | None
    probability: float | None
    images: int
    corrections: int
    received_at: datetime
    read_at: datetime | None
    waiting_since: datetime | None
    verdict: str | None


class ImageView(_View):
    """An object of a study and what became of it; its file is gone since `purged_at`."""

    id: int
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    content_sha256: str
    calling_ae_title: str
    state: str
    reason: str | None
    rejection: str | None
    withdrawn: bool
    warnings: list[str]
    attempts: int
    last_error: str | None
    traceback: str | None
    received_at: datetime
    purged_at: datetime | None


class DeliveryView(_View):
    """A result on its way to a destination."""

    result_uid: str
    destination: str
    state: str
    attempts: int
    answer: str | None
    form: str | None
    commitment: str | None
    transaction_uid: str | None
    last_error: str | None
    traceback: str | None
    not_before: datetime | None
    created_at: datetime
    delivered_at: datetime | None


class EventView(_View):
    """An entry of the audit trail; `text` tells it to a person."""

    at: datetime
    kind: str
    text: str
    detail: dict[str, Any]


class StudyHistory(_View):
    """Everything that is known of one study; `results` are the flags as they were sent.

    `rescreenings` is what other models said of it when they were asked later.
    """

    study: WorklistEntry
    images: list[ImageView]
    results: list[dict[str, Any]]
    deliveries: list[DeliveryView]
    verdicts: list[VerdictView]
    rescreenings: list[RescreenedFrame]
    events: list[EventView]


class ServiceStatus(_View):
    """How the service stands.

    The oldest times are those of the work that has waited longest; null if none waits. `scored_by_another` names the
    model of the newest score if that is another one than is in service and was: then a score host cannot load it.
    `kept_bytes` is null if no size is known. `studies` is an estimate where there are very many (`count_studies`).
    `last_read_at` is when we were last told that a study was read. The doctor's films
    count in `waiting` and in what is kept, and nowhere else.
    """

    studies: int
    waiting: dict[str, int]
    oldest_waiting: dict[str, datetime | None]
    dead_deliveries: int
    dead_commitments: int
    failed_images: int
    kept_files: int
    kept_bytes: int | None
    oldest_file: datetime | None
    model: dict[str, str] | None
    model_since: datetime | None
    scored_by_another: dict[str, str] | None
    last_received_at: datetime | None
    last_read_at: datetime | None


def worklist(session: Session, *, limit: int) -> list[WorklistEntry]:
    """Return the `limit` studies that came last, raised ones first, then the longest waiting."""
    latest = worklist_lines().where(~Study.synthetic).order_by(Study.received_at.desc(), Study.id.desc()).limit(limit)
    entries = [WorklistEntry.model_validate(row) for row in session.execute(latest)]
    return sorted(entries, key=lambda entry: (entry.priority is None, entry.waiting_since or entry.received_at))


def study_history(session: Session, study_instance_uid: str) -> StudyHistory | None:
    """Return the whole history of a study; None if it is unknown."""
    row = session.execute(worklist_lines().where(Study.study_instance_uid == study_instance_uid)).one_or_none()
    if row is None:
        return None
    study_id = select(Study.id).where(Study.study_instance_uid == study_instance_uid).scalar_subquery()
    results = session.scalars(select(Result).where(Result.study_id == study_id).order_by(Result.id)).all()
    images, flags = _images(session, study_id), [_flag(result) for result in results]
    return StudyHistory(
        study=WorklistEntry.model_validate(row),
        images=images,
        results=flags,
        deliveries=deliveries(session, Result.study_id == study_id),
        verdicts=verdicts(session, study_instance_uid),
        rescreenings=rescreened_frames(session, study_instance_uid),
        events=_events(session, study_instance_uid, images, flags),
    )


def deliveries(session: Session, *conditions: ColumnElement[bool]) -> list[DeliveryView]:
    """Return the outbox rows that meet the conditions, oldest first."""
    statement = select(Delivery, Result.result_uid).join(Result).where(*conditions).order_by(Delivery.id)
    return [
        DeliveryView(result_uid=uid, **{name: getattr(row, name) for name in _DELIVERY_COLUMNS})
        for row, uid in session.execute(statement)
    ]


def undelivered(session: Session, *conditions: ColumnElement[bool]) -> list[DeliveryView]:
    """Return what waits in the outbox, and the dead letters, as far as they meet the conditions."""
    # Each as its partial index states it: what was not delivered would be looked for among all that was.
    left = (select(Delivery.id).where(Delivery.state == state) for state in (DeliveryState.PENDING, DeliveryState.DEAD))
    return deliveries(session, Delivery.id.in_(union_all(*left)), *conditions)


def service_status(session: Session) -> ServiceStatus:
    """Return how the service stands."""
    in_service = champion(session)
    heard = signals(session)
    since = None if in_service is None else in_service_since(session).get(in_service.reference.sha256)
    steps: dict[str, tuple[type[Claimable], Any]] = {
        "prepare": (Image, Image.received_at),
        "score": (Score, Score.created_at),
        "deliver": (Delivery, Delivery.created_at),
        "commit": (Commitment, Commitment.created_at),
    }
    waiting = {
        name: session.execute(select(func.count(), func.min(since)).where(is_work(table))).one()
        for name, (table, since) in steps.items()
    }
    return ServiceStatus(
        studies=count_studies(session),
        waiting={name: row[0] for name, row in waiting.items()},
        oldest_waiting={name: row[1] for name, row in waiting.items()},
        dead_deliveries=_count(session, Delivery, Delivery.state == DeliveryState.DEAD),
        dead_commitments=_count(session, Commitment, Commitment.state == DeliveryState.DEAD),
        failed_images=_count(session, Image, Image.state == ImageState.FAILED, ~is_own()),
        **_kept(session),
        model=None if in_service is None else in_service.reference.model_dump(),
        model_since=since,
        scored_by_another=scored_by_another(session, since),
        last_received_at=session.scalar(select(func.max(Study.last_received_at)).where(~Study.synthetic)),
        last_read_at=None if heard is None else heard[1],
    )


_DELIVERY_COLUMNS = tuple(name for name in DeliveryView.model_fields if name != "result_uid")


def worklist_lines() -> Select[Any]:
    """Return the statement of the worklist's lines, without condition or order."""
    current = (Image.study_id == Study.id) & (Image.state != ImageState.SUPERSEDED)
    probability = select(func.max(Score.probability)).join(Image, Image.id == Score.image_id).where(current)
    return select(
        Study.study_instance_uid,
        Study.accession_number,
        Study.revision,
        (Study.concluded_revision == Study.revision).label("complete"),
        Study.status,
        Study.reason,
        Study.priority,
        Study.priority_reason,
        probability.scalar_subquery().label("probability"),
        select(func.count(Image.id)).where(current).scalar_subquery().label("images"),
        Study.corrections,
        Study.received_at,
        Study.read_at,
        case((Study.read_at.is_(None), func.coalesce(Study.reopened_at, Study.received_at))).label("waiting_since"),
        summary().label("verdict"),
    )


def scored_by_another(session: Session, since: datetime | None) -> dict[str, str] | None:
    """Return the model of the newest score, if it is not the one in service although it scored after the change."""
    newest = (
        select(ModelVersion.name, ModelVersion.version, ModelVersion.sha256, ModelVersion.champion, Score.scored_at)
        .join(Score, Score.model_version_id == ModelVersion.id)
        .order_by(Score.id.desc())
        .limit(1)
    )
    row = session.execute(newest).one_or_none()
    if row is None or row.champion or since is None or row.scored_at < since:
        return None
    return {"name": row.name, "version": row.version, "sha256": row.sha256}


def _kept(session: Session) -> dict[str, Any]:
    columns = (func.count(Image.id), func.sum(Image.data_set_bytes), func.min(Image.received_at))
    names = ("kept_files", "kept_bytes", "oldest_file")
    row = session.execute(select(*columns).where(Image.purged_at.is_(None))).one()
    return dict(zip(names, row, strict=True))


def _images(session: Session, study_id: ScalarSelect[int]) -> list[ImageView]:
    rows = session.scalars(select(Image).where(Image.study_id == study_id).order_by(Image.id))
    return [ImageView.model_validate(row) for row in rows]


def _flag(result: Result) -> dict[str, Any]:
    flag: dict[str, Any] = json.loads(result.flag)
    return flag


def _events(
    session: Session, study_instance_uid: str, images: Sequence[ImageView], flags: Sequence[Mapping[str, Any]]
) -> list[EventView]:
    rows = session.scalars(select(Event).where(Event.study_instance_uid == study_instance_uid).order_by(Event.id)).all()
    numbers = {image.content_sha256: {"image_id": image.id} for image in images}
    reasons = {flag["result_uid"]: {"reason": flag["reason"]} for flag in flags}
    return [_event(row, numbers.get(row.detail.get("content_sha256", ""), {}), reasons) for row in rows]


def _event(row: Event, number: Mapping[str, Any], reasons: Mapping[str, Mapping[str, Any]]) -> EventView:
    reason = reasons.get(row.detail.get("result_uid", ""), {}) if row.kind == "result" else {}
    text = sentence(row.kind, {**number, **reason, **row.detail})
    return EventView(at=row.at, kind=row.kind, text=text, detail=row.detail)


def _count(session: Session, table: type[Any], *conditions: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0
