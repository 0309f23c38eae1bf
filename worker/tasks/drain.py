"""What every task does with a wake-up: work until nothing is left."""

import time
from collections.abc import Callable

import structlog

from worker.faults import describe
from worker.metrics.definitions import FAULTS
from worker.observability import end_study
from worker.queues import Wake

DRAIN_SECONDS = 10.0

_log = structlog.get_logger()


def drain(step: Callable[[], bool], task: str, wake: Wake) -> None:
    """Repeat a step until it finds nothing, or for `DRAIN_SECONDS`; then the rest is left to a new wake-up.

    The limit lets a worker stop, and a sweep get its turn, in the middle of a long backlog. A step that raises is
    logged and ends the drain; it has given back what it had claimed, or else that is free again when its lease ends.
    """
    end = time.monotonic() + DRAIN_SECONDS
    while attempt(step):
        if time.monotonic() > end:
            wake(task)
            return


def attempt(step: Callable[[], bool]) -> bool:
    """Run a step; returns what it returned, or False if it raised, which is logged.

    The one place where a task's fault ends: the attempt on the row it had claimed is counted already. What a library
    says of it may quote a patient's name, so the log gets the places in the code instead.
    """
    try:
        return step()
    except Exception as error:  # noqa: BLE001 - see above
        fault = describe(error)
        FAULTS.inc()
        _log.error("task-failed", error=fault.error, traceback=fault.traceback)
        return False
    finally:
        end_study()
