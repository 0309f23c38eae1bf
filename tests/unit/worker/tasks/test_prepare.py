"""The prepare task on a host whose database is away."""

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from worker.metrics.definitions import FAULTS
from worker.service import Service
from worker.tasks import prepare


def test_a_database_that_is_away_at_the_start_is_one_line_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is later on: an alert counts these faults, and Celery would log a stack trace of its own."""

    def away() -> Service:
        raise OperationalError("connect", None, ConnectionRefusedError())

    monkeypatch.setattr(prepare, "_service", away)
    before = FAULTS._value.get()
    with capture_logs() as lines:
        prepare.prepare()
    assert [(line["event"], line["error"]) for line in lines] == [("task-failed", "OperationalError")]
    assert FAULTS._value.get() == before + 1
