"""Which models are and were in service."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from worker.domain import ModelReference
from worker.repository.audit import record
from worker.repository.intake import insert_if_absent
from worker.tables import ModelVersion

SHIPPED = "default"  # location of the model that comes with the package


@dataclass(frozen=True, slots=True)
class Champion:
    """The model in service."""

    id: int
    location: str
    reference: ModelReference


def champion(session: Session) -> Champion | None:
    """Return the model in service; None before the first one was registered."""
    row = session.scalars(select(ModelVersion).where(ModelVersion.champion)).one_or_none()
    if row is None:
        return None
    return Champion(row.id, row.location, ModelReference(name=row.name, version=row.version, sha256=row.sha256))


def put_shipped_model_in_service(session: Session, reference: ModelReference, now: datetime) -> Champion:
    """Make the shipped model the champion, unless a model of the site's own is.

    An upgrade of the package replaces an older shipped model, whose weights are gone with it.
    """
    current = champion(session)
    if current is not None and (current.location != SHIPPED or current.reference == reference):
        return current
    values = {**reference.model_dump(), "location": SHIPPED, "registered_at": now}
    session.execute(insert_if_absent(session, ModelVersion).values(**values))
    session.execute(update(ModelVersion).where(ModelVersion.champion).values(champion=False))
    session.execute(update(ModelVersion).where(ModelVersion.sha256 == reference.sha256).values(champion=True))
    record(session, "model-in-service", now, None, version=reference.version, sha256=reference.sha256)
    session.flush()
    in_service = champion(session)
    if in_service is None:
        raise LookupError(reference.sha256)
    return in_service
