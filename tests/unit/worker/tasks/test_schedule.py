"""What beat sends by itself."""

from datetime import UTC, datetime, timedelta

import pytest

from worker.queues import Queue
from worker.schedule import schedule
from worker.settings import Settings
from worker.tasks import prepare, rescreen


def test_beat_asks_for_the_purge_every_hour() -> None:
    """On the queue whose workers see the spool, however often beat is restarted; the task is known there."""
    entry = schedule(Settings())["purge"]
    hourly = entry["schedule"]
    hourly.nowfun = lambda: datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
    assert hourly.remaining_estimate(datetime(2026, 11, 20, 10, 0, tzinfo=UTC)) == timedelta(minutes=17)
    assert entry["options"]["queue"] == Queue.PREPARE
    assert prepare.purge.name == entry["task"]


def test_beat_begins_a_rescreening_only_where_a_time_is_set() -> None:
    """At that time of day in UTC, by the deliver workers, who load no model; the task is known there."""
    assert "rescreen" not in schedule(Settings())
    entry = schedule(Settings(rescreen_at="01:30"))["rescreen"]
    daily = entry["schedule"]
    daily.nowfun = lambda: datetime(2026, 11, 20, 1, 0, tzinfo=UTC)
    assert daily.remaining_estimate(datetime(2026, 11, 20, 1, 0, tzinfo=UTC)) == timedelta(minutes=30)
    assert entry["options"]["queue"] == Queue.DELIVER
    assert rescreen.rescreen.name == entry["task"]


@pytest.mark.parametrize("sweep_seconds", [0.1, 1, 600])
def test_a_worker_whose_clock_is_ahead_sweeps_all_the_same(sweep_seconds: float) -> None:
    """The expiry is a time of beat's clock: two minutes between two hosts must not end every sweep unseen."""
    entry = schedule(Settings(sweep_seconds=sweep_seconds))["sweep"]
    assert entry["options"]["expires"] >= max(120, sweep_seconds)


def test_the_purge_reports_its_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool that is away does not end the worker."""

    def away() -> bool:
        raise OSError

    monkeypatch.setattr(prepare, "_purge_some", away)
    prepare.purge()
