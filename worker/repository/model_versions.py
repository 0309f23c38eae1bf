"""Which models are and were in service.

Every change of the model in service is an event, and what a rollback leads to is read from these events.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from worker.domain import ModelReference
from worker.errors import PromotionError
from worker.repository.audit import record
from worker.repository.intake import insert_if_absent
from worker.tables import IN_SERVICE, Event, ModelVersion

SHIPPED = "default"  # follows the package: an upgrade may replace it
CHOSEN = "site"  # the site's own choice: no upgrade touches it


class Entry(StrEnum):
    """How a model came into service."""

    SHIPPED = "shipped"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled-back"


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A model that is or was in service; `location` says who chose it, SHIPPED or CHOSEN."""

    id: int
    location: str
    reference: ModelReference


def champion(session: Session) -> RegisteredModel | None:
    """Return the model in service; None before the first one was registered."""
    row = session.scalars(select(ModelVersion).where(ModelVersion.champion)).one_or_none()
    return None if row is None else as_registered(row)


def is_champion(session: Session, model: RegisteredModel) -> bool:
    """Tell whether a model is the one in service."""
    return session.scalar(select(ModelVersion.champion).where(ModelVersion.id == model.id)) is True


def registered_models(session: Session) -> list[RegisteredModel]:
    """Return every model that has been in service, in the order of their first time."""
    return [as_registered(row) for row in session.scalars(select(ModelVersion).order_by(ModelVersion.id))]


def put_shipped_model_in_service(session: Session, reference: ModelReference, now: datetime) -> RegisteredModel:
    """Make the shipped model the champion, unless a model of the site's own choice is.

    An upgrade of the package replaces an older shipped model, whose weights are gone with it.
    """
    current = champion(session)
    if current is not None and (current.location != SHIPPED or current.reference == reference):
        return current
    return put_in_service(session, reference, now, replacing=current, location=SHIPPED, entry=Entry.SHIPPED)


def put_in_service(
    session: Session,
    reference: ModelReference,
    now: datetime,
    *,
    replacing: RegisteredModel | None,
    location: str,
    entry: Entry,
    **detail: str | None,
) -> RegisteredModel:
    """Make a model the champion and record it, in the caller's transaction.

    Args:
        session: of the caller's transaction.
        reference: the model.
        now: present time.
        replacing: the champion that the decision was made against; None if there was none.
        location: SHIPPED or CHOSEN.
        entry: how it comes into service.
        detail: who, why, and by which judgement, for the audit trail.

    Raises:
        PromotionError: if another model has been put in service meanwhile.
    """
    _retire(session, replacing)
    values = {**reference.model_dump(), "location": location, "registered_at": now}
    session.execute(insert_if_absent(session, ModelVersion).values(**values))
    chosen = update(ModelVersion).where(ModelVersion.sha256 == reference.sha256)
    session.execute(chosen.values(champion=True, location=location), execution_options={"synchronize_session": False})
    replaced = replacing.reference.sha256 if replacing else None
    identity = {"version": reference.version, "sha256": reference.sha256, "replaced": replaced}
    record(session, IN_SERVICE, now, None, how=entry, **identity, **detail)
    session.flush()
    row = session.scalars(select(ModelVersion).where(ModelVersion.sha256 == reference.sha256)).one()
    return as_registered(row)


def succession(session: Session) -> Sequence[str]:
    """Return the SHA-256 of the model in service, last, and before it of those that rollbacks would lead to.

    A promotion or an upgrade adds one; a rollback takes the last one away.
    """
    standing: list[str] = []
    for detail in session.scalars(select(Event.detail).where(Event.kind == IN_SERVICE).order_by(Event.id)):
        if detail.get("how") == Entry.ROLLED_BACK:
            standing.pop()
        elif standing[-1:] != [detail["sha256"]]:
            standing.append(detail["sha256"])
    return standing


def in_service_since(session: Session) -> dict[str, datetime]:
    """Return when each model, by its SHA-256, was last put in service."""
    rows = session.execute(select(Event.detail, Event.at).where(Event.kind == IN_SERVICE).order_by(Event.id))
    return {detail["sha256"]: at for detail, at in rows}


def withdrawn_at(session: Session, sha256: str) -> datetime | None:
    """Return when a model was last rolled back, that is, another put back in its place; None if it never was."""
    rows = session.execute(select(Event.detail, Event.at).where(Event.kind == IN_SERVICE).order_by(Event.id.desc()))
    rollbacks = ((detail, at) for detail, at in rows if detail.get("how") == Entry.ROLLED_BACK)
    return next((at for detail, at in rollbacks if detail["replaced"] == sha256), None)


def as_registered(row: ModelVersion) -> RegisteredModel:
    """Return a row as a value."""
    reference = ModelReference(name=row.name, version=row.version, sha256=row.sha256)
    return RegisteredModel(row.id, row.location, reference)


def _retire(session: Session, replacing: RegisteredModel | None) -> None:
    if replacing is None:
        return
    current = update(ModelVersion).where(ModelVersion.id == replacing.id, ModelVersion.champion)
    retired = current.values(champion=False).returning(ModelVersion.id)
    if session.scalar(retired, execution_options={"synchronize_session": False}) is None:
        raise PromotionError(
            "another model was put in service just now: see `cxr-triage models list`, then decide anew"
        )
