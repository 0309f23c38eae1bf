"""What beat sends, and when."""

from typing import Any

from celery.schedules import crontab

from worker.queues import PURGE, RECONCILE, RESCREEN, SWEEP, TRAIN, queue_of, task_name
from worker.settings import Settings

RECONCILE_SECONDS = 60
# By beat's clock, while the worker that takes the message judges by its own: on two hosts whose clocks are some seconds
# apart every sweep would be thrown away, and no study concluded.
SWEEP_WITHIN_SECONDS = 300
PURGE_WITHIN_SECONDS = 1800
TRAIN_WITHIN_SECONDS = 3600  # else it starts in the middle of a working day
RESCREEN_WITHIN_SECONDS = 3600


def schedule(settings: Settings) -> dict[str, Any]:
    """Return Celery's `beat_schedule`; a message that nobody took in time expires."""
    entries = {
        SWEEP: _entry(SWEEP, settings.sweep_seconds, max(10 * settings.sweep_seconds, SWEEP_WITHIN_SECONDS)),
        # At a time of day, since beat forgets at a restart when it sent what.
        PURGE: _entry(PURGE, crontab(minute="17"), PURGE_WITHIN_SECONDS),
    }
    if settings.reconciliation.pacs is not None:
        entries[RECONCILE] = _entry(RECONCILE, RECONCILE_SECONDS, RECONCILE_SECONDS)
    if settings.rescreen_at is not None:
        hour, minute = settings.rescreen_at.split(":")
        entries[RESCREEN] = _entry(RESCREEN, crontab(minute=minute, hour=hour), RESCREEN_WITHIN_SECONDS)
    if settings.retraining.at is not None:
        days, _, time = settings.retraining.at.rpartition(" ")
        hour, minute = time.split(":")
        at = crontab(minute=minute, hour=hour, day_of_week=days or "*")
        entries[TRAIN] = _entry(TRAIN, at, TRAIN_WITHIN_SECONDS)
    return entries


def _entry(task: str, when: crontab | float, expires_seconds: float) -> dict[str, Any]:
    options = {"queue": queue_of(task), "expires": expires_seconds}
    return {"task": task_name(task), "schedule": when, "options": options}
