"""The sweep: says what is quiet, overdue or unread for too long, gives up what was tried too often, wakes the rest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_io.reasons import Reason
from worker.observability import about_study
from worker.queues import COMMIT, Queue
from worker.repository.claims import ClaimPolicy, exhausted, has_standing_work
from worker.repository.commitments import bury_exhausted_commitments
from worker.repository.outbox import bury_exhausted_deliveries
from worker.repository.preparation import fail_exhausted_images
from worker.repository.rescreening import has_rescreening_to_do
from worker.repository.results import overdue_studies, quiet_studies
from worker.repository.scoring import fail_frames
from worker.repository.waiting import forgotten_studies, signals
from worker.rescreen_tables import RescreenPreparation
from worker.service import Service
from worker.stating import Speaker
from worker.table_base import Claimable
from worker.tables import Commitment, Delivery, Image, Score, Study

STUDIES_PER_SWEEP = 200
SIGNAL_COUNTS = timedelta(hours=24)  # without news of what was read for longer, nobody knows what is unread
MOST_BEHIND = timedelta(days=7)  # a study that is past the longest wait by more was read without our being told
ROWS_PER_SWEEP = 500  # of each kind that are given up: a statement can name some ten thousand at most

Attempt = Callable[[Callable[[], bool]], bool]
End = Callable[[Session, Sequence[int], datetime], None]  # of rows whose attempts are used up

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Does what no message asks for; harmless when two run at once.

    Attributes:
        attempt: runs one part of the sweep and reports a fault instead of raising it, so that one study which cannot
            be said holds up no other.
    """

    service: Service
    speaker: Speaker
    attempt: Attempt

    def sweep(self) -> None:
        """Go once over everything that may stand still."""
        for what, (table, end) in _ENDS.items():
            self.attempt(partial(self._give_up, what, table, end))
        told = self._state(self._overdue, self.speaker.state_overdue)
        told += self._state(self._quiet, self.speaker.state_conclusion)
        told += self._state(self._forgotten, self.speaker.state_waiting)
        if told:
            _log.info("swept", results=told)
        self.attempt(self._wake_standing)

    def _give_up(self, what: str, table: type[Claimable], end: End) -> bool:
        now, policy = self.service.now(), self._policy(table)
        with self.service.database.read() as session:  # most sweeps find nothing, and make no writer wait
            ids = exhausted(session, table, now=now, policy=policy, limit=ROWS_PER_SWEEP)
        if not ids:
            return False
        with self.service.database.begin() as session:
            end(session, ids, now)
        _log.error("gave-up", **{what: len(ids)})
        return True

    def _quiet(self, session: Session, now: datetime) -> Sequence[int]:
        quiet = timedelta(seconds=self.service.settings.study_quiet_seconds)
        return quiet_studies(session, now=now, quiet=quiet, limit=STUDIES_PER_SWEEP)

    def _overdue(self, session: Session, now: datetime) -> Sequence[int]:
        return overdue_studies(session, now=now, limit=STUDIES_PER_SWEEP)

    def _forgotten(self, session: Session, now: datetime) -> Sequence[int]:
        minutes = self.service.settings.escalate_after_minutes
        heard = None if minutes is None else signals(session)
        if minutes is None or heard is None or heard[1] <= now - SIGNAL_COUNTS:
            return ()
        until = now - timedelta(minutes=minutes)
        since = max(heard[0], until - MOST_BEHIND)
        return forgotten_studies(session, since=since, until=until, limit=STUDIES_PER_SWEEP)

    def _state(
        self,
        find: Callable[[Session, datetime], Sequence[int]],
        state: Callable[[Session, int, datetime], bool],
    ) -> int:
        now = self.service.now()
        with self.service.database.read() as session:
            studies = find(session, now)
        return sum(self.attempt(partial(self._state_one, state, study_id)) for study_id in studies)

    def _state_one(self, state: Callable[[Session, int, datetime], bool], study_id: int) -> bool:
        with self.service.database.read() as session:
            uid = session.scalar(select(Study.study_instance_uid).where(Study.id == study_id))
        with about_study(uid):
            with self.service.database.begin() as session:
                told = state(session, study_id, self.service.now())
            if told:
                _log.info("result-said")
        return told

    def _wake_standing(self) -> bool:
        now = self.service.now()
        with self.service.database.read() as session:
            standing = [task for task, table in _WORK.items() if self._stands(session, table, now)]
            if Queue.SCORE not in standing and has_rescreening_to_do(
                session, now=now, policy=self.service.image_policy
            ):
                standing.append(Queue.SCORE)
            if Queue.PREPARE not in standing and self._stands(session, RescreenPreparation, now):
                standing.append(Queue.PREPARE)
        for task in standing:
            self.service.wake(task)
        return bool(standing)

    def _stands(self, session: Session, table: type[Claimable], now: datetime) -> bool:
        return has_standing_work(session, table, now=now, policy=self._policy(table))

    def _policy(self, table: type[Claimable]) -> ClaimPolicy:
        return self.service.delivery_policy if table in _REPORTS else self.service.image_policy


def _fail_exhausted_frames(session: Session, score_ids: Sequence[int], now: datetime) -> None:
    fail_frames(session, score_ids, Reason.ATTEMPTS_EXHAUSTED, now)


_WORK: dict[str, type[Claimable]] = {
    Queue.PREPARE: Image,
    Queue.SCORE: Score,
    Queue.DELIVER: Delivery,
    COMMIT: Commitment,
}
_ENDS: dict[str, tuple[type[Claimable], End]] = {
    "images": (Image, fail_exhausted_images),
    "frames": (Score, _fail_exhausted_frames),
    "deliveries": (Delivery, bury_exhausted_deliveries),
    "commitments": (Commitment, bury_exhausted_commitments),
}
_REPORTS = (Delivery, Commitment)  # what is sent to others, and so tried as often as deliveries are
