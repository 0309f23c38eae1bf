"""What has to be prepared again for a re-screening, as its model takes another input.

The image itself stands as it was: neither its state nor its study hears of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from worker.domain import Urgency
from worker.faults import Fault
from worker.repository.claims import LONGEST_ERROR, ClaimPolicy, claim, release
from worker.repository.intake import insert_if_absent
from worker.repository.rescreen_frames import Film
from worker.repository.rescreening import ChunkWork
from worker.rescreen_tables import RescreenChunk, RescreenPreparation
from worker.tables import PreparedImage


@dataclass(frozen=True, slots=True)
class PreparationWork:
    """An object to prepare in the form that `input_spec` says."""

    id: int
    chunk_id: int
    content_sha256: str
    input_spec: dict[str, Any]


def ask_for_preparation(
    session: Session, work: ChunkWork, films: Sequence[Film], input_spec: dict[str, Any], policy: ClaimPolicy
) -> set[str]:
    """Have objects prepared whose file is still there.

    Returns:
        The content hashes of those that can be waited for; all, if the run was stopped.
    """
    contents = sorted({film.content_sha256 for film in films if not film.purged})
    chunk = select(RescreenChunk.id).where(RescreenChunk.id == work.chunk_id).with_for_update(read=True)
    if session.scalar(chunk) is None:
        return set(contents)
    common = {"chunk_id": work.chunk_id, "input_spec": input_spec, "urgency": Urgency.RESCREEN}
    if contents:
        rows = [{**common, "content_sha256": content} for content in contents]
        session.execute(insert_if_absent(session, RescreenPreparation), rows)
    waiting = select(RescreenPreparation.content_sha256).where(
        RescreenPreparation.chunk_id == work.chunk_id,
        RescreenPreparation.done_at.is_(None),
        RescreenPreparation.attempts < policy.max_attempts,
    )
    return set(session.scalars(waiting).all())


def claim_preparation(session: Session, *, now: datetime, policy: ClaimPolicy) -> PreparationWork | None:
    """Take an object to prepare again."""
    ids = claim(session, RescreenPreparation, limit=1, now=now, policy=policy)
    if not ids:
        return None
    row = session.get_one(RescreenPreparation, ids[0])
    return PreparationWork(row.id, row.chunk_id, row.content_sha256, row.input_spec)


def count_unprepared(session: Session) -> int:
    """Count the objects that the open run waits for."""
    waiting = select(func.count()).select_from(RescreenPreparation).where(RescreenPreparation.done_at.is_(None))
    return session.scalar(waiting) or 0


def finish_preparation(
    session: Session, work: PreparationWork, frames: Sequence[bytes], *, input_spec_sha256: str, now: datetime
) -> None:
    """Store what was prepared, zstd-compressed pixels per frame; the last one of a chunk lets the chunk go on."""
    for number, pixels in enumerate(frames, start=1):
        values = {"content_sha256": work.content_sha256, "frame": number, "input_spec_sha256": input_spec_sha256}
        session.execute(insert_if_absent(session, PreparedImage).values(**values, pixels=pixels, created_at=now))
    _end(session, work, now)


def fail_preparation(session: Session, work: PreparationWork, fault: Fault, now: datetime) -> None:
    """End the work on an object that cannot be prepared."""
    _end(session, work, now, last_error=fault.error[:LONGEST_ERROR], traceback=fault.traceback)


def retry_preparation(
    session: Session, work: PreparationWork, fault: Fault, *, now: datetime, policy: ClaimPolicy, counted: bool
) -> None:
    """Give an object back whose preparation failed in a way that may pass."""
    table, trace = RescreenPreparation, fault.traceback
    release(session, table, work.id, fault.error, now=now, policy=policy, counted=counted, traceback=trace)


def _end(session: Session, work: PreparationWork, now: datetime, **values: str | None) -> None:
    done = update(RescreenPreparation).where(RescreenPreparation.id == work.id)
    session.execute(done.values(done_at=now, lease_until=None, **values))
    of_chunk = (RescreenPreparation.chunk_id == work.chunk_id, RescreenPreparation.done_at.is_(None))
    if not session.scalar(select(func.count()).select_from(RescreenPreparation).where(*of_chunk)):
        waits = update(RescreenChunk).where(RescreenChunk.id == work.chunk_id, RescreenChunk.lease_until.is_(None))
        session.execute(waits.values(not_before=None))
