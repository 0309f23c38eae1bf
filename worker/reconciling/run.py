"""All studies of some days: which there are, and seeing to each, a few at a time."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import date

import structlog

from dicom_io.errors import DicomIoError
from dicom_io.query import StudiesFound, find_studies
from dicom_io.scp import Receive
from dicom_io.types import ApplicationEntity
from worker.errors import ConfigurationError
from worker.reconciling.lease import Lease
from worker.reconciling.outcome import Report, StudyOutcome, report
from worker.reconciling.study import StudyReconciler
from worker.repository.audit import record
from worker.sections import ReconciliationSettings
from worker.service import Service

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Compares what the PACS has with what was received, and fetches the rest.

    Attributes:
        service: its settings, database and clock.
        receive: takes responsibility for an object that comes by C-GET.
    """

    service: Service
    receive: Receive

    def compare(self, days: Sequence[date]) -> Report:
        """Say what would be fetched, and fetch nothing; it writes nothing, so it may run beside another one.

        Raises:
            ConfigurationError: if no PACS is set.
            PeerError: if the PACS cannot be asked.
        """
        found, study = self.find(days), self._study
        with self.pool() as pool:
            outcomes = list(pool.map(lambda uid: study.see_to(uid, fetch=False), found.study_instance_uids))
        return self.report(days, outcomes, found)

    def reconcile(self, days: Sequence[date], *, by: str) -> Report:
        """See to every study of these days, at any time of day.

        Args:
            days: Study Dates, in the PACS's local time.
            by: who asked for it; recorded.

        Raises:
            ConfigurationError: if no PACS is set.
            RunsAlreadyError: if another reconciliation with it runs.
            PeerError: if the PACS cannot be asked, or does not know our AE title; what came before that is here.
        """
        with Lease(self.service, self.pacs.ae_title) as lease:
            try:
                said = self._reconcile(lease, days)
            except DicomIoError as error:
                self.record_run(self.report(days, [], StudiesFound((), limited=True, unnamed=0)), by, str(error))
                raise
        self.record_run(said, by)
        return said

    def _reconcile(self, lease: Lease, days: Sequence[date]) -> Report:
        with self.pool() as pool:
            found = lease.held_until(pool.submit(self.find, days))
            outcomes = list(self.see_to_all(pool, lease, found.study_instance_uids, go_on=lambda: True))
        return self.report(days, outcomes, found)

    def see_to_all(
        self, pool: ThreadPoolExecutor, lease: Lease, studies: Sequence[str], *, go_on: Callable[[], bool]
    ) -> Iterator[StudyOutcome]:
        """See to studies, `at_a_time` at the same time; begins none once `go_on` says no, and ends what is begun.

        Raises:
            MoveDestinationUnknownError: if the PACS does not know our AE title.
            RunsAlreadyError: if the lease was lost.
        """
        waiting, running = deque(studies), set[Future[StudyOutcome]]()
        while running or (waiting and go_on()):
            while waiting and len(running) < self.settings.at_a_time and go_on():
                running.add(pool.submit(self._study.see_to, waiting.popleft(), fetch=True))
            done, running = wait(running, timeout=lease.renewal_seconds, return_when=FIRST_COMPLETED)
            lease.renew()
            for future in done:
                self._record_study(outcome := future.result())
                yield outcome

    def pool(self) -> ThreadPoolExecutor:
        """Return the threads that talk to the PACS; their number bounds its associations with us."""
        return ThreadPoolExecutor(self.settings.at_a_time, thread_name_prefix="reconcile")

    def find(self, days: Sequence[date]) -> StudiesFound:
        """Ask for the studies of these days; see `find_studies` for what it raises."""
        return find_studies(
            self.pacs,
            days,
            self.settings.modalities,
            calling_ae_title=self.service.settings.listener.ae_title,
            timeout_seconds=self.settings.timeout_seconds,
        )

    def report(self, days: Sequence[date], outcomes: Sequence[StudyOutcome], found: StudiesFound) -> Report:
        """Add up what became of the studies."""
        return report(self.pacs.ae_title, days, outcomes, limited=found.limited, unnamed=found.unnamed)

    def record_run(self, said: Report, by: str, cut_short: str | None = None) -> None:
        """Put a run into the log and the audit trail: counts, and who asked for it."""
        detail = {"by": by, "dates": said.period, "cut_short": cut_short, **said.counts}
        tell = _log.info if said.is_whole and cut_short is None else _log.warning
        tell("reconciled", **detail)
        self._record(None, detail)

    def _record_study(self, outcome: StudyOutcome) -> None:
        if outcome.fetched or outcome.is_open:
            detail = {"pacs": self.pacs.ae_title, "reason": outcome.reason, **outcome.counts}
            _log.info("study-reconciled", study_instance_uid=outcome.study_instance_uid, **detail)
            self._record(outcome.study_instance_uid, detail)

    def _record(self, study_instance_uid: str | None, detail: dict[str, str | int | None]) -> None:
        with self.service.database.begin() as session:
            record(session, "reconciled", self.service.now(), study_instance_uid, **detail)

    @property
    def pacs(self) -> ApplicationEntity:
        """Whom to ask.

        Raises:
            ConfigurationError: if no PACS is set.
        """
        pacs = self.settings.pacs
        if pacs is None:
            raise ConfigurationError("reconciliation.pacs: not set: name the PACS that is to be asked")
        return pacs.entity

    @property
    def settings(self) -> ReconciliationSettings:
        """What is asked for, and how."""
        return self.service.settings.reconciliation

    @property
    def _study(self) -> StudyReconciler:
        return StudyReconciler(self.service, self.pacs, self.receive)
