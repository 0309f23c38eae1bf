"""The nightly run, piece by piece inside the window; a killed one is gone on with."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import structlog

from dicom_io.errors import DicomIoError
from worker.errors import RunsAlreadyError
from worker.reconciling.lease import Lease
from worker.reconciling.outcome import Report, StudyOutcome, report
from worker.reconciling.run import Reconciler
from worker.reconciling.window import Window, days_of
from worker.repository.reconciliation import Night, last_night, save_night

CALL_SECONDS = 45.0  # of new work in one call, so that no worker is held for hours
MOST_TRIES = 3  # of a study in one night, where trying again may help
BY = "nightly"

_Outcomes = dict[str, StudyOutcome]
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NightlyRun:
    """Sees once a night to the studies of the last days."""

    reconciler: Reconciler

    def go_on(self) -> Report | None:
        """Go on for `CALL_SECONDS`, if it is night, nobody else is at it and something is left to do.

        What was done is kept study by study, so that the next call goes on, whatever became of this one. A study that
        cannot be had is tried again the next night.

        Returns:
            The report of the whole night by the call that ends it, else None.

        Raises:
            ConfigurationError: if no PACS is set.
        """
        night = self._window.night(self.reconciler.service.now())
        if night is None:
            return None
        try:
            with Lease(self.reconciler.service, self.reconciler.pacs.ae_title) as lease:
                outcomes = self._begin(night)
                return None if outcomes is None else self._go_on(lease, night, outcomes)
        except RunsAlreadyError:
            return None
        except DicomIoError as error:  # of the PACS as a whole: the next call tries again
            _log.warning("reconciliation-held-up", error=str(error), kind=type(error).__name__)
            return None

    def _go_on(self, lease: Lease, night: date, outcomes: _Outcomes) -> Report | None:
        days = days_of(night, self.reconciler.settings.days)
        may_begin = self._until_end(night)
        with self.reconciler.pool() as pool:
            found = lease.held_until(pool.submit(self.reconciler.find, days))
            due = [uid for uid in found.study_instance_uids if _is_due(outcomes.get(uid))]
            due.sort(key=lambda uid: uid in outcomes)  # what failed before waits for what was not tried yet
            for outcome in self.reconciler.see_to_all(pool, lease, due, go_on=may_begin):
                uid = outcome.study_instance_uid
                outcomes[uid] = outcome.after(outcomes[uid]) if uid in outcomes else outcome
                self._save(night, outcomes, finished=False)
        if any(_is_due(outcomes.get(uid)) for uid in due):
            return None
        self._save(night, outcomes, finished=True)
        said = self.reconciler.report(days, list(outcomes.values()), found)
        self.reconciler.record_run(said, BY)
        return said

    def _begin(self, night: date) -> _Outcomes | None:
        """Return what became of the studies of this night so far; None if it is done."""
        with self.reconciler.service.database.read() as session:
            last = last_night(session, self.reconciler.pacs.ae_title)
        outcomes = {uid: StudyOutcome.model_validate(outcome) for uid, outcome in last.studies.items()}
        if last.night == night.isoformat():
            return None if last.finished else outcomes
        self._save(night, {}, finished=False)
        if last.night is not None and not last.finished:
            days = days_of(date.fromisoformat(last.night), self.reconciler.settings.days)
            said = report(self.reconciler.pacs.ae_title, days, list(outcomes.values()))
            self.reconciler.record_run(said, BY, "the window closed before every study was seen to")
        return {}

    def _until_end(self, night: date) -> Callable[[], bool]:
        end = time.monotonic() + CALL_SECONDS
        return lambda: time.monotonic() < end and self._window.night(self.reconciler.service.now()) == night

    def _save(self, night: date, outcomes: _Outcomes, *, finished: bool) -> None:
        studies = {uid: outcome.model_dump() for uid, outcome in outcomes.items()}
        state = Night(night.isoformat(), studies, finished)
        with self.reconciler.service.database.begin() as session:
            save_night(session, self.reconciler.pacs.ae_title, state, self.reconciler.service.now())

    @property
    def _window(self) -> Window:
        return Window.parse(self.reconciler.settings.window)


def _is_due(outcome: StudyOutcome | None) -> bool:
    return outcome is None or (outcome.again and outcome.tries < MOST_TRIES)
