"""What a reconciliation reads and writes: its lease, its progress, and which images are here."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from worker.repository.claims import is_running
from worker.repository.intake import insert_if_absent
from worker.tables import Image, Reconciliation, Study

_AT_ONCE = 500  # values of one statement


@dataclass(frozen=True, slots=True)
class Night:
    """How far the run of a night is.

    Attributes:
        night: ISO date on which its window opened; None before the first.
        studies: what became of each study, by its UID.
    """

    night: str | None
    studies: dict[str, Any]
    finished: bool


def take_lease(session: Session, pacs: str, holder: str, *, now: datetime, length: timedelta) -> bool:
    """Let `holder` be the one who asks this PACS, or stay so; returns False while another one is.

    A holder that dies keeps it until the lease ends; see `claims.is_free` for a clock that was set back.
    """
    session.execute(insert_if_absent(session, Reconciliation).values(pacs=pacs, studies={}))
    free = or_(~is_running(Reconciliation.lease_until, now, length), Reconciliation.holder == holder)
    taken = (
        update(Reconciliation)
        .where(Reconciliation.pacs == pacs, free)
        .values(holder=holder, lease_until=now + length)
        .returning(Reconciliation.pacs)
    )
    return session.scalar(taken, execution_options={"synchronize_session": False}) is not None


def give_lease_back(session: Session, pacs: str, holder: str) -> None:
    """End the lease, if it is still this holder's."""
    mine = update(Reconciliation).where(Reconciliation.pacs == pacs, Reconciliation.holder == holder)
    session.execute(mine.values(holder=None, lease_until=None))


def last_night(session: Session, pacs: str) -> Night:
    """Return the night that was begun last."""
    row = session.get_one(Reconciliation, pacs)
    return Night(row.night, dict(row.studies), row.finished_at is not None)


def save_night(session: Session, pacs: str, night: Night, now: datetime) -> None:
    """Write how far a night is; the caller holds the lease."""
    row = session.get_one(Reconciliation, pacs)
    row.night, row.studies = night.night, night.studies
    row.finished_at = now if night.finished else None


def images_here(session: Session, study_instance_uid: str, sop_instance_uids: Collection[str]) -> set[str]:
    """Return those of which an object of this study has ever been received, whatever became of it since.

    The same SOP instance in another study does not count: it may be another caller's, and says nothing of this study.
    """
    uids, here = list(sop_instance_uids), set[str]()
    of_study = select(Image.sop_instance_uid).join(Study).where(Study.study_instance_uid == study_instance_uid)
    for start in range(0, len(uids), _AT_ONCE):
        part = uids[start : start + _AT_ONCE]
        here.update(session.scalars(of_study.where(Image.sop_instance_uid.in_(part))))
    return here
