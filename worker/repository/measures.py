"""Numbers for Prometheus; each costs a few steps in a partial index, whatever the size of archive and backlog."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, literal_column, select, text, union_all
from sqlalchemy.orm import InstrumentedAttribute, Session

from worker.destination_tables import DestinationOutage
from worker.domain import DeliveryState, Flag, ImageState, Origin, Stage, Urgency
from worker.repository.claims import ClaimPolicy, is_work
from worker.repository.outages import paused_destinations
from worker.repository.synthetic import is_own
from worker.table_base import Claimable
from worker.tables import Commitment, Delivery, Image, Score, Study

MOST_COUNTED = 10_000
STATEMENT_MILLISECONDS = 2000  # PostgreSQL ends what takes longer; an exporter must not be a burden

_STAGES: dict[str, tuple[type[Claimable], InstrumentedAttribute[datetime]]] = {
    "prepare": (Image, Image.received_at),
    "score": (Score, Score.created_at),
    "deliver": (Delivery, Delivery.created_at),
    "commit": (Commitment, Commitment.created_at),
}
CONCLUDE = "conclude"  # studies that are not quiet, or not done


@dataclass(frozen=True, slots=True)
class Waiting:
    """What one stage has before it: `rows` up to `MOST_COUNTED`, and since when the oldest waits."""

    rows: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class DestinationFacts:
    """How a destination stands."""

    failures_in_a_row: int
    paused: bool
    dead: int


def bound_statements(session: Session) -> None:
    """Let no statement of this transaction take long; SQLite's reads wait for nobody."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"SET LOCAL statement_timeout = {STATEMENT_MILLISECONDS}"))


def waiting(session: Session) -> dict[str, Waiting]:
    """Return by stage what waits."""
    work = {name: _waiting(session, table, since) for name, (table, since) in _STAGES.items()}
    is_open = Study.concluded_revision < Study.revision
    oldest = select(Study.last_received_at).where(is_open).order_by(Study.last_received_at).limit(1)
    return {**work, CONCLUDE: Waiting(_count(session, Study.id, is_open), session.scalar(oldest))}


def quarantined(session: Session) -> int:
    """Return how many images failed, up to `MOST_COUNTED`, the doctor's apart."""
    return _count(session, Image.id, and_(Image.state == ImageState.FAILED, ~is_own()))


def destination_facts(
    session: Session, names: Iterable[str], *, now: datetime, policy: ClaimPolicy
) -> Mapping[str, DestinationFacts]:
    """Return how the destinations of these names stand, and any other one that has dead letters or takes nothing."""
    some = select(Delivery.destination).where(Delivery.state == DeliveryState.DEAD).limit(MOST_COUNTED).subquery()
    counted = session.execute(select(some.c.destination, func.count()).group_by(some.c.destination)).all()
    dead = {name: number for name, number in counted}  # noqa: C416 - rows, not pairs
    failures = {row.destination: row.failures for row in session.scalars(select(DestinationOutage))}
    paused = set(paused_destinations(session, now=now, policy=policy))
    return {
        name: DestinationFacts(failures.get(name, 0), name in paused, dead.get(name, 0))
        for name in sorted({*names, *dead, *failures})
    }


def schema_level(session: Session) -> str:
    """Return the level that the database's schema is at."""
    return str(session.scalar(text("SELECT version_num FROM alembic_version")))


def server_time(session: Session) -> datetime | None:
    """Return what the clock of the database's host shows; None for SQLite, which has none of its own."""
    if session.get_bind().dialect.name != "postgresql":
        return None
    shown: datetime | None = session.scalar(select(func.clock_timestamp()))
    return shown


def told_since(session: Session, flag: Flag) -> tuple[Stage, datetime] | None:
    """Return from when the time to a delivery counts.

    Returns:
        Of an early flag the receipt of its first flagged image, of a complete result that of its last image. None for
        other results, and where no image is known.
    """
    if flag.origin is not Origin.LIVE or flag.withdrawn or not (flag.complete or flag.priority):
        return None
    early = not flag.complete
    hashes = [image.content_sha256 for image in flag.images if not early or (image.flagged and not image.withdrawn)]
    at: Any = func.min(Image.received_at) if early else func.max(Image.received_at)
    of_study = Study.study_instance_uid == flag.study_instance_uid
    since: datetime | None = session.scalar(select(at).join(Study).where(of_study, Image.content_sha256.in_(hashes)))
    return None if since is None else (Stage.EARLY if early else Stage.COMPLETE, since)


def _waiting(session: Session, table: type[Claimable], since: InstrumentedAttribute[datetime]) -> Waiting:
    # The first row of each urgency, as the index has them in this order; a minimum over all rows would read them all.
    firsts = [
        select(since.label("since"))
        .where(is_work(table), table.urgency == urgency)
        .order_by(table.urgency.desc(), table.id)
        .limit(1)
        .subquery()
        for urgency in Urgency
    ]
    oldest = union_all(*(select(first.c.since) for first in firsts)).subquery()
    return Waiting(_count(session, table.id, is_work(table)), session.scalar(select(func.min(oldest.c.since))))


def _count(session: Session, column: InstrumentedAttribute[int], condition: ColumnElement[bool]) -> int:
    some = select(literal_column("1")).select_from(column.class_).where(condition).limit(MOST_COUNTED).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0
