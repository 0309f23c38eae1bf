"""The append-only audit trail."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import insert
from sqlalchemy.orm import Session

from worker.db import after_commit
from worker.metrics.counting import counter_of
from worker.tables import Event

COMMAND = "command"  # the kind of event that tells of a command that a person ran


def record(
    session: Session, kind: str, at: datetime, study_instance_uid: str | None, **detail: str | float | list[str] | None
) -> None:
    """Append an event in the caller's transaction, so that it stands exactly when what it tells of does."""
    session.add(Event(kind=kind, at=at, study_instance_uid=study_instance_uid, detail=detail))
    _count(session, kind, detail)


def record_all(session: Session, at: datetime, events: Sequence[tuple[str, str, dict[str, object]]]) -> None:
    """Append many events, each (kind, Study Instance UID, detail), in one statement; see `record`."""
    rows = [{"kind": kind, "at": at, "study_instance_uid": uid, "detail": detail} for kind, uid, detail in events]
    if rows:
        session.execute(insert(Event), rows)
    for kind, _uid, detail in events:
        _count(session, kind, detail)


def record_command(
    session: Session,
    at: datetime,
    command: str,
    by: str,
    study_instance_uid: str | None = None,
    **detail: str | float | None,
) -> None:
    """Append that a person ran a command that changes something.

    Args:
        session: of the transaction that makes the change, where there is one.
        at: present time.
        command: as it is typed, without options: `deliveries retry`.
        by: user and host.
        study_instance_uid: the study that it was about, if it was about one.
        detail: its options, and what it did.
    """
    record(session, COMMAND, at, study_instance_uid, command=command, by=by, **detail)


def _count(session: Session, kind: str, detail: Mapping[str, object]) -> None:
    count = counter_of(kind, detail)
    if count is not None:
        after_commit(session, count)
