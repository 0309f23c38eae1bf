"""How the service stands, at a glance, at a cost that does not grow with the archive."""

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from worker.domain import ScreeningStatus
from worker.repository.claims import ClaimPolicy
from worker.repository.measures import destination_facts, quarantined, waiting
from worker.repository.model_versions import champion, in_service_since
from worker.repository.views import scored_by_another
from worker.repository.waiting import unheard_since
from worker.settings import Settings
from worker.tables import Image, Study

SILENT_AFTER = timedelta(hours=12)
_RATE_WINDOW = timedelta(hours=1)
_SENDERS_OF = timedelta(days=7)


class _View(BaseModel):
    model_config = ConfigDict(frozen=True)


class StageView(_View):
    """A step of the work: how much waits, and since when the oldest."""

    name: str
    waiting: int
    since: datetime | None


class DestinationState(_View):
    """A destination; down while it takes nothing, with the number of its dead letters."""

    name: str
    down: bool
    dead: int


class SenderView(_View):
    """A sender of the last week; silent if nothing came from it for `SILENT_AFTER`."""

    ae_title: str
    last_seen: datetime
    silent: bool


class ModelInService(_View):
    """The model in service; `scored_by_another` is the one that scored last although it is not in service any more."""

    name: str
    version: str
    sha256: str
    since: datetime | None
    scored_by_another: str | None


class Disk(_View):
    """Space for received objects, in bytes; below `kept_free_bytes` the listener refuses them."""

    free_bytes: int
    kept_free_bytes: int
    refuses: bool


class Strip(_View):
    """What a person in charge looks at first; `disk` is null where the page's host has no spool.

    `unheard_since` is when we were last told what was read, if we should have been told since, see `unheard_since`.
    """

    stages: list[StageView]
    destinations: list[DestinationState]
    senders: list[SenderView]
    received_in_the_last_hour: int
    raised_in_the_last_hour: int
    unscreened_in_the_last_hour: int
    set_aside: int
    unheard_since: datetime | None
    model: ModelInService | None
    disk: Disk | None
    shadow: bool


def read_strip(
    session: Session, settings: Settings, now: datetime, *, policy: ClaimPolicy, disk: Disk | None = None
) -> Strip:
    """Return how the service stands.

    Args:
        session: to read with.
        settings: which destinations there are, and whether this is shadow mode.
        now: present time.
        policy: how deliveries are claimed.
        disk: space for received objects, if it can be seen from here.
    """
    came = (Study.received_at >= now - _RATE_WINDOW, ~Study.synthetic)
    names = [destination.name for destination in settings.effective_destinations]
    facts = destination_facts(session, names, now=now, policy=policy)
    return Strip(
        stages=[StageView(name=name, waiting=w.rows, since=w.since) for name, w in waiting(session).items()],
        destinations=[
            DestinationState(name=name, down=fact.failures_in_a_row > 1 or fact.paused, dead=fact.dead)
            for name, fact in facts.items()
        ],
        senders=_senders(session, now),
        received_in_the_last_hour=_count(session, *came),
        raised_in_the_last_hour=_count(session, *came, Study.priority.is_not(None)),
        unscreened_in_the_last_hour=_count(session, *came, Study.status == ScreeningStatus.UNSCREENED),
        set_aside=quarantined(session),
        unheard_since=unheard_since(session, now, settings.escalate_after_minutes),
        model=_model(session),
        disk=disk,
        shadow=settings.shadow,
    )


def _model(session: Session) -> ModelInService | None:
    in_service = champion(session)
    if in_service is None:
        return None
    reference = in_service.reference
    since = in_service_since(session).get(reference.sha256)
    another = scored_by_another(session, since)
    said = None if another is None else f"{another['name']} {another['version']}"
    return ModelInService(**reference.model_dump(), since=since, scored_by_another=said)


def _senders(session: Session, now: datetime) -> list[SenderView]:
    last = func.max(Image.received_at).label("last_seen")
    came = Image.received_at >= now - _SENDERS_OF, Image.purged_at.is_(None), ~Study.synthetic
    rows = session.execute(
        select(Image.calling_ae_title, last)
        .join(Study)
        .where(*came)
        .group_by(Image.calling_ae_title)
        .order_by(Image.calling_ae_title)
    )
    return [
        SenderView(ae_title=row.calling_ae_title, last_seen=row.last_seen, silent=now - row.last_seen > SILENT_AFTER)
        for row in rows
    ]


def _count(session: Session, *conditions: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).select_from(Study).where(*conditions)) or 0
