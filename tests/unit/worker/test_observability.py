"""The log, as it leaves the process."""

import pytest
import structlog

from worker.observability import configure_logging
from worker.settings import Settings


def _fail(header: str) -> None:
    raise ValueError(len(header))


@pytest.mark.parametrize("log_json", [True, False])
def test_a_fault_is_logged_without_the_values_it_met(capsys: pytest.CaptureFixture[str], *, log_json: bool) -> None:
    """The traceback names the lines, for programs and for people alike; a header in a variable is not printed."""
    configure_logging(Settings(log_json=log_json))
    patient = "Doe^Jane"
    try:
        _fail(patient)
    except ValueError:
        structlog.get_logger().exception("task-failed")
    logged = capsys.readouterr().err
    assert "task-failed" in logged
    assert "ValueError: 8" in logged
    assert patient not in logged
