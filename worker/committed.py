"""Storage commitment as user: hearing what became of what we sent."""

from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError

from dicom_io.commitment import INVALID_ARGUMENT_VALUE
from dicom_io.commitment_outcome import CommitmentOutcome
from dicom_io.errors import CommitmentRequestError, OutOfResourcesError
from worker.destinations import DicomDestination
from worker.repository.asked_commitments import record_outcome
from worker.service import Service
from worker.settings import Settings

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CommitmentEar:
    """What the listener, and whoever delivers, does with a report; safe to call from many threads."""

    service: Service

    def hear(self, outcome: CommitmentOutcome) -> None:
        """Return once the outcome is committed to the database.

        Raises:
            CommitmentRequestError: if this peer was not asked under this Transaction UID.
            OutOfResourcesError: if the database cannot take it.
        """
        peers = [one.name for one in asked_destinations(self.service.settings) if _is(one, outcome.ae_title)]
        now, policy = self.service.now(), self.service.delivery_policy
        try:
            with self.service.database.begin() as session:
                known = record_outcome(session, outcome, peers, now=now, policy=policy)
        except SQLAlchemyError as error:
            raise OutOfResourcesError(f"database: {type(error).__name__}; the peer may report again") from error
        if not known:
            message = f"{outcome.ae_title} was not asked for storage commitment of this under this Transaction UID."
            raise CommitmentRequestError(message, status=INVALID_ARGUMENT_VALUE)
        counts = {"committed": len(outcome.committed), "failed": len(outcome.failed)}
        _log.info("commitment-heard", transaction_uid=outcome.transaction_uid, ae_title=outcome.ae_title, **counts)


def asked_destinations(settings: Settings) -> list[DicomDestination]:
    """Return the destinations that are asked for storage commitment."""
    return [
        destination
        for destination in settings.effective_destinations
        if isinstance(destination, DicomDestination) and destination.storage_commitment
    ]


def _is(destination: DicomDestination, ae_title: str) -> bool:
    return destination.ae_title.strip() == ae_title.strip()
