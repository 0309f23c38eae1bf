"""The append-only audit trail."""

from datetime import datetime

from sqlalchemy.orm import Session

from worker.tables import Event


def record(
    session: Session, kind: str, at: datetime, study_instance_uid: str | None, **detail: str | float | list[str] | None
) -> None:
    """Append an event in the caller's transaction, so that it stands exactly when what it tells of does."""
    session.add(Event(kind=kind, at=at, study_instance_uid=study_instance_uid, detail=detail))
