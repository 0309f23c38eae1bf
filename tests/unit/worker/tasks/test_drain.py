"""The one place where a task's fault ends."""

import structlog
from structlog.testing import capture_logs

from worker.tasks.drain import attempt

PATIENT = "Doe^Jane"


def test_a_fault_is_logged_without_what_a_library_says_of_the_data() -> None:
    """Kind and places are; the message, which may quote a patient's name, is not. The task goes on."""

    def step() -> bool:
        raise ValueError(PATIENT)

    structlog.reset_defaults()
    with capture_logs() as lines:
        assert attempt(step) is False
    (line,) = lines
    assert (line["event"], line["error"], line["log_level"]) == ("task-failed", "ValueError", "error")
    assert "test_drain.py:" in line["traceback"]
    assert PATIENT not in str(line)
