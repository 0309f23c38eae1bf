"""The task that answers storage commitment requests; it travels with prepare, whose hosts see the spool."""

from functools import cache

from worker.bootstrap import build_service
from worker.celery import app, process_settings, wake
from worker.committing import Committer
from worker.queues import COMMIT, task_name
from worker.tasks.drain import drain


@cache
def _committer() -> Committer:
    return Committer(build_service(process_settings(), wake))


@app.task(name=task_name(COMMIT))  # type: ignore[untyped-decorator]
def commit() -> None:
    """Check what was asked for and report it until no request is due."""
    drain(lambda: _committer().commit_next(), COMMIT, wake)
