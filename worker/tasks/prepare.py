"""The prepare queue."""

from functools import cache

from worker.bootstrap import build_service
from worker.celery import app, process_settings, wake
from worker.following import Follower
from worker.preparing import Preparer
from worker.queues import Queue, task_name
from worker.tasks.drain import drain


@cache
def _preparers() -> Follower[Preparer]:
    service = build_service(process_settings(), wake)
    return Follower(service, lambda installed: Preparer(service, installed.card))


@app.task(name=task_name(Queue.PREPARE))  # type: ignore[untyped-decorator]
def prepare() -> None:
    """Prepare received images until none is left."""
    drain(lambda: _preparers().current().prepare_next(), Queue.PREPARE, wake)
