"""The queues, and the wake-ups that travel through them.

A wake-up carries nothing: it says that a task may have work in SQL.
"""

from collections.abc import Callable
from enum import StrEnum


class Queue(StrEnum):
    """A queue; a worker consumes one or more of them (`celery -A worker worker -Q prepare`)."""

    PREPARE = "prepare"
    SCORE = "score"
    DELIVER = "deliver"


SWEEP = "sweep"  # a task of the deliver queue, sent by beat
COMMIT = "commit"  # a task of the prepare queue, which sees the spool: answers storage commitment requests
PURGE = "purge"  # a task of the prepare queue, sent by beat: retention
RECONCILE = "reconcile"  # a task of the prepare queue, sent by beat: asks the PACS what never came here; may store it
RESCREEN = "rescreen"  # a task of the deliver queue, sent by beat: starts a re-screening
TRAIN = "train"  # a queue of its own and its task, sent by beat; nothing wakes it

Wake = Callable[[str], None]  # takes the name of a queue, or of a task that shares the queue of another one

_SHARED = {
    SWEEP: Queue.DELIVER,
    COMMIT: Queue.PREPARE,
    PURGE: Queue.PREPARE,
    RECONCILE: Queue.PREPARE,
    RESCREEN: Queue.DELIVER,
}


def queue_of(task: str) -> str:
    """Return the name of the queue that a task travels through: its own, unless it shares that of another one."""
    return str(_SHARED.get(task, task))


def task_name(name: str) -> str:
    """Return the Celery name of the task that serves a queue, of the sweep, or of training."""
    return f"worker.{name}"
