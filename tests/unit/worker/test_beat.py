"""Beat on a clock that is set."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.beat import Scheduler
from celery.schedules import crontab, schedule
from structlog.testing import capture_logs

from tests.servers.ports import free_port
from worker.beat import SteadyScheduler
from worker.metrics.definitions import WAKES_LOST

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        """What it shows."""
        return self.now


def sending(kind: type[Scheduler], clock: Clock, sent: list[str]) -> Scheduler:
    """A scheduler that notes what it would send: a sweep every second, and another task every day at 10:30 UTC."""

    class Noting(kind):  # type: ignore[misc, valid-type]  # celery has no types
        def apply_entry(self, entry: Any, **_kwargs: Any) -> None:
            sent.append(entry.name)

        producer = None

    app = Celery("test", broker="memory://", set_as_current=False)
    app.conf.beat_schedule = {
        "sweep": {"task": "sweep", "schedule": schedule(SECOND, nowfun=clock, app=app)},
        "daily": {"task": "daily", "schedule": crontab(hour="10", minute="30", nowfun=clock, app=app)},
    }
    return Noting(app)


def run(scheduler: Scheduler, clock: Clock, seconds: int) -> None:
    """Let so many seconds pass, with a few looks each."""
    for _ in range(seconds):
        clock.now += SECOND
        for _ in range(3):
            scheduler.tick()


@pytest.fixture
def clock() -> Clock:
    """A clock of this test's own."""
    return Clock()


def test_the_sweep_goes_on_when_the_clock_is_set_back(clock: Clock) -> None:
    """Every second, as before."""
    sent: list[str] = []
    scheduler = sending(SteadyScheduler, clock, sent)
    run(scheduler, clock, 5)
    assert len(sent) >= 4
    clock.now -= HOUR
    sent.clear()
    run(scheduler, clock, 5)
    assert sent.count("sweep") >= 4


def test_celery_s_own_scheduler_would_stand_still(clock: Clock) -> None:
    """The reason why there is one of ours; when this fails, it may go."""
    sent: list[str] = []
    scheduler = sending(Scheduler, clock, sent)
    run(scheduler, clock, 5)
    clock.now -= HOUR
    sent.clear()
    run(scheduler, clock, 5)
    assert sent == []


def test_a_daily_task_is_still_sent_at_its_time(clock: Clock) -> None:
    """A step back does not send it early, and it is sent when its time comes."""
    sent: list[str] = []
    scheduler = sending(SteadyScheduler, clock, sent)
    clock.now -= HOUR
    run(scheduler, clock, 5)
    assert "daily" not in sent
    clock.now += HOUR + timedelta(minutes=30)
    run(scheduler, clock, 5)
    assert sent.count("daily") == 1


def test_a_broker_that_is_away_is_one_line_for_each_sweep(clock: Clock, capfd: pytest.CaptureFixture[str]) -> None:
    """No stack trace, and it is counted; the sweep comes again."""
    app = Celery("test", broker=f"redis://127.0.0.1:{free_port()}/0", set_as_current=False)
    app.conf.broker_transport_options = {"max_retries": 1, "interval_start": 0}
    app.conf.beat_schedule = {"sweep": {"task": "sweep", "schedule": schedule(SECOND, nowfun=clock, app=app)}}

    class Connected(SteadyScheduler):
        producer = None  # as it was at the start; one that has none waits for the broker

    scheduler = Connected(app)
    before = WAKES_LOST._value.get()
    with capture_logs() as lines:
        run(scheduler, clock, 3)
    assert {(line["event"], line["task"], line["error"]) for line in lines} == {
        ("wake-up-lost", "sweep", "OperationalError")
    }
    assert WAKES_LOST._value.get() - before == len(lines) >= 2
    assert "Traceback" not in capfd.readouterr().err
