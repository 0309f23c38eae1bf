"""What beat sends by itself."""

from datetime import UTC, datetime, timedelta

import pytest

from worker.queues import Queue
from worker.schedule import schedule as schedule_of
from worker.settings import Settings
from worker.tasks import prepare


def test_beat_asks_for_the_purge_every_hour() -> None:
    """On the queue whose workers see the spool, however often beat is restarted; the task is known there."""
    entry = schedule_of(Settings())["purge"]
    schedule = entry["schedule"]
    schedule.nowfun = lambda: datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
    assert schedule.remaining_estimate(datetime(2026, 11, 20, 10, 0, tzinfo=UTC)) == timedelta(minutes=17)
    assert entry["options"]["queue"] == Queue.PREPARE
    assert prepare.purge.name == entry["task"]


def test_the_purge_reports_its_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool that is away does not end the worker."""

    def away() -> bool:
        raise OSError

    monkeypatch.setattr(prepare, "_purge_some", away)
    prepare.purge()
