"""Training on from the model in service: off unless asked for, one at a time, and never in the listener's way."""

import fcntl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from worker import celery, retraining
from worker.cli import run
from worker.errors import ConfigurationError
from worker.model.artifact import default_directory
from worker.queues import Queue
from worker.retraining import refresh
from worker.schedule import schedule as schedule_of
from worker.sections import RetrainingSettings
from worker.settings import Settings

STAND_IN = """#!/bin/sh
flock --nonblock "$9/refresh.lock" echo nobody holds the lock
echo "$@"
echo 'a word on standard error' >&2
exit {code}
"""


@pytest.fixture
def settings(tmp_path: Path) -> RetrainingSettings:
    """Where everything lies."""
    return RetrainingSettings(
        at="sat 02:30", data=tmp_path / "new.csv", old=tmp_path / "old", locked=tmp_path / "l", output=tmp_path / "out"
    )


@pytest.fixture
def cxr_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the program, which would take hours: says how it was called and what it finds."""
    program = tmp_path / "cxr-train"
    program.write_text(STAND_IN.format(code=0))
    program.chmod(0o755)
    monkeypatch.setattr(retraining, "CXR_TRAIN", program)
    return program


def said(logs: list[Any]) -> list[str]:
    """What the program printed, as it stands in the log."""
    return [line["said"] for line in logs if line["event"] == "refresh"]


def test_training_goes_on_from_the_model_in_service(settings: RetrainingSettings, cxr_train: Path) -> None:
    """Its films and its model are handed over, its output is logged, and it runs under the lock."""
    with capture_logs() as logs:
        assert refresh(settings, Path("models/b"))
    folder = cxr_train.parent
    paths = f"--data {folder}/new.csv --old {folder}/old --locked {folder}/l --output {folder}/out"
    assert said(logs) == [f"refresh {paths} --champion models/b", "a word on standard error"]
    assert logs[-1]["event"] == "refresh-done"


def test_training_from_the_shipped_model_names_a_site(settings: RetrainingSettings, cxr_train: Path) -> None:
    """The shipped model is where it begins by itself."""
    words = retraining.refresh_command(settings.model_copy(update={"site": "s1"}), default_directory())
    assert words[:5] == ["nice", "-n", "19", str(cxr_train), "refresh"]
    assert words[-2:] == ["--site", "s1"]
    assert "--champion" not in words


def test_one_training_runs_at_a_time(settings: RetrainingSettings, cxr_train: Path, tmp_path: Path) -> None:
    """A second message, or the systemd timer beside it, starts nothing."""
    (tmp_path / "out").mkdir()
    with (tmp_path / "out" / "refresh.lock").open("wb") as lock, capture_logs() as logs:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert not refresh(settings, Path("models/b"))
    assert [line["event"] for line in logs] == ["refresh-runs-already"]


def test_a_training_that_fails_is_an_error_in_the_log(settings: RetrainingSettings, cxr_train: Path) -> None:
    """With its exit code, after everything it said."""
    cxr_train.write_text(STAND_IN.format(code=2))
    with capture_logs() as logs:
        assert not refresh(settings, Path("models/b"))
    assert (logs[-1]["event"], logs[-1]["code"]) == ("refresh-failed", 2)


def test_a_host_without_the_program_says_what_to_install(
    settings: RetrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra is named."""
    monkeypatch.setattr(retraining, "CXR_TRAIN", Path("nowhere/cxr-train"))
    with pytest.raises(ConfigurationError, match=r"cxr-triage\[train\]"):
        refresh(settings, Path("models/b"))


@pytest.mark.parametrize("at", ["25:00", "2:30", "someday 02:30", "sat", "sat 02:60"])
def test_a_time_that_is_none_is_refused(at: str) -> None:
    """At the start, not on Saturday night."""
    with pytest.raises(ValidationError):
        RetrainingSettings(at=at)


def test_a_site_that_training_refuses_is_refused() -> None:
    """At the start: else every night's training would fail."""
    with pytest.raises(ValidationError, match="site"):
        RetrainingSettings(site="ward-7")


def test_a_time_without_films_is_refused() -> None:
    """What is missing is named."""
    with pytest.raises(ValidationError, match="at needs data, old, locked"):
        RetrainingSettings(at="02:30", output=Path("out"))


@pytest.mark.parametrize(
    ("at", "now", "waits"),
    [
        ("02:30", datetime(2026, 11, 20, 2, 0, tzinfo=UTC), timedelta(minutes=30)),
        ("sat 02:30", datetime(2026, 11, 20, 2, 0, tzinfo=UTC), timedelta(days=1, minutes=30)),  # a Friday
    ],
)
def test_beat_asks_for_it_at_its_time(settings: RetrainingSettings, at: str, now: datetime, waits: timedelta) -> None:
    """In UTC, daily or weekly, to the queue of its own; by default never."""
    assert "train" not in schedule_of(Settings())
    entry = schedule_of(Settings(retraining=settings.model_copy(update={"at": at})))["train"]
    assert (entry["task"], entry["options"]["queue"]) == ("worker.train", "train")
    schedule = entry["schedule"]
    schedule.app, schedule.nowfun = celery.app, lambda: now
    assert schedule.remaining_estimate(now) == waits


def test_a_worker_that_starts_trains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the queues that hold work in SQL are looked into at a start."""
    woken: list[str] = []
    monkeypatch.setattr(celery, "wake", woken.append)
    queues = SimpleNamespace(consume_from={"train": None, "deliver": None})
    celery._look_for_work(SimpleNamespace(app=SimpleNamespace(amqp=SimpleNamespace(queues=queues))))
    assert woken == [Queue.DELIVER]


def test_serve_runs_the_queue_only_where_it_is_asked_for(settings: RetrainingSettings) -> None:
    """One process more, with one task at a time."""
    without, with_it = run._workers(Settings()), run._workers(Settings(retraining=settings))
    (train,) = {child.name for child in with_it} - {child.name for child in without}
    (child,) = [child for child in with_it if child.name == train]
    assert "train" in child.command
    assert "solo" in child.command
