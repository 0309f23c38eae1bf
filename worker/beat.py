"""Celery's beat on a clock that may be set back."""

from typing import Any

import structlog
from celery.beat import Scheduler, SchedulingError

from worker import heartbeat
from worker.metrics.definitions import WAKES_LOST

_log = structlog.get_logger()


class SteadyScheduler(Scheduler):  # type: ignore[misc]  # celery has no types
    """Sends what is due and keeps no state on disk.

    Celery's own waits until the clock shows the time of the last run again, and the sweep stands still for as long as
    the clock was set back. Here a last run that lies in the future counts as now.
    """

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due; returns the seconds until the next look."""
        ahead = [entry for entry in self.schedule.values() if entry.last_run_at > entry.default_now()]
        for entry in ahead:
            entry.last_run_at = entry.default_now()
        if ahead:
            self._heap = None  # the times at which each entry is due next; made anew from the entries
            _log.warning("clock-set-back", entries=len(ahead))
        seconds = float(super().tick(*args, **kwargs))
        heartbeat.beat()
        return seconds

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send one entry; of a broker that is away one line is logged, where Celery's has two stack traces."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            WAKES_LOST.inc()
            _log.warning("wake-up-lost", task=entry.name, error=type(error.__cause__ or error.__context__).__name__)
