"""Storage commitment: taking a request, checking what it names against the files, and telling who asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy.exc import SQLAlchemyError

from dicom_io.commitment import INVALID_ARGUMENT_VALUE, NOT_AUTHORIZED, CommitmentRequest
from dicom_io.commitment_report import CommitmentReport, FailureReason, report_commitment
from dicom_io.errors import (
    CommitmentRequestError,
    OutOfResourcesError,
    PeerError,
    PeerUnreachableError,
    SpoolError,
    TlsFilesError,
    TruncatedDataError,
)
from dicom_io.identity import read_content
from dicom_io.types import ApplicationEntity
from worker.errors import TransientError
from worker.faults import Fault
from worker.holding import Held
from worker.queues import COMMIT
from worker.repository.claims import extend_lease, release
from worker.repository.commitments import (
    CommitmentWork,
    claim_commitment,
    finish_commitment,
    put_off_caller,
    record_request,
)
from worker.repository.promises import StoredObject, current_objects, promise
from worker.service import Service
from worker.settings import Settings
from worker.tables import Commitment

TIMEOUT_SECONDS = 10.0  # a peer that is silent takes the place of a film that could be prepared

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CommitmentDesk:
    """What the listener does with a request; safe to call from many threads."""

    service: Service

    def take(self, request: CommitmentRequest) -> None:
        """Return once the request is committed to the database.

        Raises:
            CommitmentRequestError: if the caller is none of those who may ask, or used the Transaction UID for other
                objects before.
            OutOfResourcesError: if the database cannot take it.
        """
        if caller_address(self.service.settings, request.calling_ae_title) is None:
            raise CommitmentRequestError("Not one of storage_commitment.callers.", status=NOT_AUTHORIZED)
        try:
            with self.service.database.begin() as session:
                taken = record_request(session, request, self.service.now())
        except SQLAlchemyError as error:
            raise OutOfResourcesError(f"database: {type(error).__name__}; the sender may try again") from error
        if not taken:
            message = "The Transaction UID was used for other objects before; repair the sender."
            raise CommitmentRequestError(message, status=INVALID_ARGUMENT_VALUE)
        self.service.wake(COMMIT)
        _log.info("commitment-requested", **_names(request), references=len(request.references))


@dataclass(frozen=True, slots=True)
class Committer:
    """Answers requests, on a host that sees the spool.

    The files are read again at every attempt: a report is a promise from the moment it arrives, and a peer that was
    away for a week must not be told what was true a week ago.
    """

    service: Service

    def commit_next(self) -> bool:
        """Check and report the oldest request that is due; returns whether there was one."""
        policy = self.service.delivery_policy
        with self.service.database.begin() as session:
            work = claim_commitment(session, now=self.service.now(), policy=policy)
        if work is None:
            return False
        with Held(partial(self._give_back, work)):  # a lease that nobody ends would hold up all other requests
            self._commit(work)
        return True

    def _commit(self, work: CommitmentWork) -> None:
        log = _log.bind(**_names(work.request))
        try:
            peer = self._peer(work.request.calling_ae_title)
            report, outcome = self._promise(work)
            self._report(peer, report)
        except PeerUnreachableError as error:
            log.warning("commitment-retry", error=str(error))
            self._give_back(work, Fault(str(error), ""), whole_caller=True)
        except (PeerError, TlsFilesError, TransientError) as error:
            log.warning("commitment-retry", error=str(error))
            self._give_back(work, Fault(str(error), ""))
        else:
            log.info("commitment-reported", committed=len(report.committed), failed=len(report.failed))
            with self.service.database.begin() as session:
                finish_commitment(session, work, outcome, self.service.now())

    def _peer(self, calling_ae_title: str) -> ApplicationEntity:
        peer = caller_address(self.service.settings, calling_ae_title)
        if peer is None:
            raise TransientError(f"{calling_ae_title} is not in storage_commitment.callers of this host: add it")
        return peer

    def _report(self, peer: ApplicationEntity, report: CommitmentReport) -> None:
        own = self.service.settings.listener.ae_title
        report_commitment(peer, report, calling_ae_title=own, timeout_seconds=TIMEOUT_SECONDS)

    def _promise(self, work: CommitmentWork) -> tuple[CommitmentReport, str]:
        with self.service.database.read() as session:
            stored = current_objects(session, work.request.references)
        faults = self._faults(work, stored)
        now = self.service.now()
        until = now + timedelta(days=self.service.settings.retention.raw_days)
        with self.service.database.begin() as session:
            return promise(session, work, faults, until=until, now=now)

    def _faults(self, work: CommitmentWork, stored: Sequence[StoredObject]) -> dict[int, FailureReason | None]:
        try:
            if not self.service.spool.root.is_dir():
                raise TransientError(f"spool: no folder {self.service.spool.root}: mount it")
            self.service.spool.require_space(0)
            return self._check(work, stored)
        except SpoolError:  # who is about to run out of space promises nothing
            return dict.fromkeys((one.image_id for one in stored), FailureReason.RESOURCE_LIMITATION)
        except OSError as error:
            raise TransientError(f"spool: {error.strerror}: mend the disk") from error

    def _check(self, work: CommitmentWork, stored: Sequence[StoredObject]) -> dict[int, FailureReason | None]:
        faults: dict[int, FailureReason | None] = {}
        renewed = self.service.now()
        for one in stored:
            faults[one.image_id] = self._fault(one)
            renewed = self._keep_lease(work, renewed)
        return faults

    def _fault(self, stored: StoredObject) -> FailureReason | None:
        path = self.service.spool.path(stored.content_sha256)
        try:
            found = read_content(path)
        except FileNotFoundError:
            return FailureReason.NO_SUCH_OBJECT_INSTANCE
        except TruncatedDataError:
            return self._damaged(stored)
        length = found.length if stored.data_set_bytes is None else stored.data_set_bytes
        expected = (stored.content_sha256, length, stored.transfer_syntax_uid)
        if (found.sha256, found.length, found.transfer_syntax_uid) != expected:
            return self._damaged(stored)
        return None

    def _damaged(self, stored: StoredObject) -> FailureReason:
        _log.error("stored-file-damaged", image_id=stored.image_id, content_sha256=stored.content_sha256)
        self.service.spool.set_aside(stored.content_sha256)
        return FailureReason.PROCESSING_FAILURE

    def _keep_lease(self, work: CommitmentWork, renewed: datetime) -> datetime:
        now, policy = self.service.now(), self.service.delivery_policy
        if now - renewed < policy.lease / 4:
            return renewed
        with self.service.database.begin() as session:
            extend_lease(session, Commitment, work.commitment_id, now=now, policy=policy)
        return now

    def _give_back(
        self, work: CommitmentWork, fault: Fault, counted: bool = True, *, whole_caller: bool = False
    ) -> None:
        row_id, trace = work.commitment_id, fault.traceback or None
        now, policy = self.service.now(), self.service.delivery_policy
        with self.service.database.begin() as session:
            release(session, Commitment, row_id, fault.error, now=now, policy=policy, counted=counted, traceback=trace)
            if whole_caller:
                put_off_caller(session, work)


def caller_address(settings: Settings, calling_ae_title: str) -> ApplicationEntity | None:
    """Return where a caller of `storage_commitment.callers` is called back; None if it is none of them."""
    for caller in settings.storage_commitment.callers:
        if caller.ae_title.strip() == calling_ae_title.strip():
            return caller.entity
    return None


def _names(request: CommitmentRequest) -> dict[str, str]:
    return {"calling_ae_title": request.calling_ae_title, "transaction_uid": request.transaction_uid}
