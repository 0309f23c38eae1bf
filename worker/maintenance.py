"""The sweep: conclude quiet studies, say what is overdue, give up what was tried too often, wake what stands still."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy.orm import Session

from dicom_io.reasons import Reason
from worker.queues import COMMIT, Queue
from worker.repository.claims import exhausted, has_standing_work
from worker.repository.commitments import bury_exhausted_commitments
from worker.repository.outbox import bury_exhausted_deliveries
from worker.repository.preparation import fail_exhausted_images
from worker.repository.results import overdue_studies, quiet_studies
from worker.repository.scoring import fail_frames
from worker.service import Service
from worker.stating import Speaker
from worker.table_base import Claimable
from worker.tables import Commitment, Delivery, Image, Score

STUDIES_PER_SWEEP = 200

Attempt = Callable[[Callable[[], bool]], bool]

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
        self.attempt(self._give_up_exhausted)
        told = self._state(self._overdue, self.speaker.state_overdue)
        told += self._state(self._quiet, self.speaker.state_conclusion)
        if told:
            _log.info("swept", results=told)
        self.attempt(self._wake_standing)

    def _give_up_exhausted(self) -> bool:
        now, images, deliveries = self.service.now(), self.service.image_policy, self.service.delivery_policy
        begin = self.service.database.begin
        with begin() as session:  # a transaction each, so that each takes its studies in one order
            unprepared = exhausted(session, Image, now=now, policy=images)
            fail_exhausted_images(session, unprepared, now)
        with begin() as session:
            unscored = exhausted(session, Score, now=now, policy=images)
            fail_frames(session, unscored, Reason.ATTEMPTS_EXHAUSTED, now)
        with begin() as session:
            undelivered = exhausted(session, Delivery, now=now, policy=deliveries)
            bury_exhausted_deliveries(session, undelivered, now)
        with begin() as session:
            unreported = exhausted(session, Commitment, now=now, policy=deliveries)
            bury_exhausted_commitments(session, unreported, now)
        counts = {
            "images": len(unprepared),
            "frames": len(unscored),
            "deliveries": len(undelivered),
            "commitments": len(unreported),
        }
        if not any(counts.values()):
            return False
        _log.error("gave-up", **counts)
        return True

    def _quiet(self, session: Session, now: datetime) -> Sequence[int]:
        quiet = timedelta(seconds=self.service.settings.study_quiet_seconds)
        return quiet_studies(session, now=now, quiet=quiet, limit=STUDIES_PER_SWEEP)

    def _overdue(self, session: Session, now: datetime) -> Sequence[int]:
        return overdue_studies(session, now=now, limit=STUDIES_PER_SWEEP)

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
        with self.service.database.begin() as session:
            return state(session, study_id, self.service.now())

    def _wake_standing(self) -> bool:
        now = self.service.now()
        with self.service.database.read() as session:
            standing = [task for task, table in _WORK.items() if self._stands(session, table, now)]
        for task in standing:
            self.service.wake(task)
        return bool(standing)

    def _stands(self, session: Session, table: type[Claimable], now: datetime) -> bool:
        policy = self.service.delivery_policy if table in _REPORTS else self.service.image_policy
        return has_standing_work(session, table, now=now, policy=policy)


_WORK: dict[str, type[Claimable]] = {
    Queue.PREPARE: Image,
    Queue.SCORE: Score,
    Queue.DELIVER: Delivery,
    COMMIT: Commitment,
}
_REPORTS = (Delivery, Commitment)  # what is sent to others, and so tried as often as deliveries are
