"""What the exporter finds out when it is asked: in the database, and on the disk."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

from sqlalchemy.orm import Session

from worker.metrics import definitions as metrics
from worker.metrics.union import Facts
from worker.repository import measures
from worker.repository.model_versions import champion
from worker.repository.waiting import unheard_since
from worker.service import Service
from worker.settings import Settings

Values = Mapping[tuple[str, ...], float]


def host_facts(settings: Settings) -> dict[str, Values]:
    """Return what needs no database; of a disk that cannot be looked at nothing is said."""
    facts: dict[str, Values] = {
        metrics.BUILD: {(version("cxr-triage"),): 1},
        metrics.DISK_KEPT: {(): settings.min_free_bytes},
    }
    try:
        usage = shutil.disk_usage(settings.data_dir)
    except OSError:
        return facts
    return {**facts, metrics.DISK_FREE: {(): usage.free}, metrics.DISK_SIZE: {(): usage.total}}


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """Asks the database; each answer is a handful of indexed reads."""

    service: Service

    def ask(self) -> Facts:
        """Return what the database says.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: if it is away, takes too long, or is of another level.
        """
        with self.service.database.read() as session:
            measures.bound_statements(session)
            now = self.service.now()
            return {
                metrics.DATABASE_LEVEL: {(measures.schema_level(session),): 1},
                metrics.CLOCK_OFFSET: _clock_offset(session, self.service),
                metrics.QUARANTINED: {(): measures.quarantined(session)},
                metrics.IN_SERVICE: _in_service(session),
                metrics.UNHEARD: self._unheard(session, now),
                **_work(session, now),
                **self._destinations(session, now),
            }

    def _unheard(self, session: Session, now: datetime) -> Values:
        limit = self.service.settings.escalate_after_minutes
        return {} if limit is None else {(): unheard_since(session, now, limit) is not None}

    def _destinations(self, session: Session, now: datetime) -> Facts:
        names = [destination.name for destination in self.service.settings.effective_destinations]
        found = measures.destination_facts(session, names, now=now, policy=self.service.delivery_policy)
        return {
            metrics.DEAD: {(name,): facts.dead for name, facts in found.items()},
            metrics.FAILURES_IN_A_ROW: {(name,): facts.failures_in_a_row for name, facts in found.items()},
            metrics.PAUSED: {(name,): facts.paused for name, facts in found.items()},
        }


def _work(session: Session, now: datetime) -> Facts:
    waiting = measures.waiting(session)
    ages: Values = {
        (stage,): 0.0 if work.since is None else max(0.0, (now - work.since).total_seconds())
        for stage, work in waiting.items()
    }
    return {metrics.WAITING: {(stage,): work.rows for stage, work in waiting.items()}, metrics.OLDEST: ages}


def _clock_offset(session: Session, service: Service) -> Values:
    theirs = measures.server_time(session)
    return {} if theirs is None else {(): (service.now() - theirs).total_seconds()}


def _in_service(session: Session) -> Values:
    model = champion(session)
    if model is None:
        return {}
    reference = model.reference
    return {(reference.name, reference.version, reference.sha256): 1}
