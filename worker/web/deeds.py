"""What a person does about a study, whether by a button or by the API."""

from dataclasses import dataclass
from datetime import timedelta

from fastapi import HTTPException
from sqlalchemy import select
from starlette.status import HTTP_404_NOT_FOUND, HTTP_409_CONFLICT

from worker.bootstrap import build_speaker
from worker.champion import champion_in_service
from worker.correcting import Correction, Withdrawal
from worker.errors import WithdrawalError
from worker.queues import Queue
from worker.repository.outbox import retry_dead_deliveries
from worker.repository.quarantine import PutBack, put_back, quarantined
from worker.service import Service
from worker.tables import Study

UNKNOWN = "no such study was received, or it is not here any more"


@dataclass(frozen=True, slots=True)
class Deeds:
    """Acts on one study.

    Attributes:
        service: settings and database.
        study: its Study Instance UID.
        by: who acts, for the audit trail.
    """

    service: Service
    study: str
    by: str

    def withdraw(self, reason: str) -> Withdrawal:
        """Withdraw the flag: a new result takes the priority back.

        Raises:
            HTTPException: 404 if the study is unknown; 409 if the flag cannot be withdrawn, see
                `worker.correcting.Correction.withdraw`.
        """
        self.require_study()
        speaker = build_speaker(self.service, champion_in_service(self.service.database))
        try:
            return Correction(self.service, speaker, self.by).withdraw(self.study, reason)
        except WithdrawalError as error:
            raise HTTPException(HTTP_409_CONFLICT, str(error).removeprefix("--")) from error

    def send_again(self, destination: str | None) -> int:
        """Put dead letters back into the outbox, of one destination or of all; returns how many.

        Raises:
            HTTPException: 404 if the study is unknown.
        """
        self.require_study()
        with self.service.database.begin() as session:
            sent = retry_dead_deliveries(
                session, self.service.now(), by=self.by, destination=destination, study_instance_uid=self.study
            )
        self.service.wake(Queue.DELIVER)
        return sent

    def try_again(self) -> PutBack:
        """Put the images that were set aside back to work.

        Raises:
            HTTPException: 404 if the study is unknown.
        """
        self.require_study()
        now = self.service.now()
        due_at = now + timedelta(minutes=self.service.settings.screen_within_minutes)
        with self.service.database.begin() as session:
            images = [image.image_id for image in quarantined(session, Study.study_instance_uid == self.study)]
            done = put_back(session, images, now, due_at=due_at, by=self.by)
        self.service.wake(Queue.PREPARE)
        return done

    def require_study(self) -> None:
        """Make sure that there is such a study.

        Raises:
            HTTPException: 404, if it is unknown.
        """
        with self.service.database.read() as session:
            if session.scalar(select(Study.id).where(Study.study_instance_uid == self.study)) is None:
                raise HTTPException(HTTP_404_NOT_FOUND, UNKNOWN)
