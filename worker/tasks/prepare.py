"""The prepare queue, and the purge that beat sends through it, as its workers see the spool."""

from functools import cache

from worker.bootstrap import build_service
from worker.celery import app, process_settings, wake
from worker.following import Follower
from worker.preparing import Preparer
from worker.purging import Purger
from worker.queues import PURGE, Queue, task_name
from worker.rescreening.preparing import RescreenPreparer
from worker.service import Service
from worker.tasks.drain import DRAIN_SECONDS, attempt, drain

PARTS = 24  # of the spool; one is looked through at each hour of the day


@cache
def _service() -> Service:
    return build_service(process_settings(), wake)


@cache
def _preparers() -> Follower[Preparer]:
    return Follower(_service(), lambda installed: Preparer(_service(), installed.card))


@app.task(name=task_name(Queue.PREPARE))  # type: ignore[untyped-decorator]
def prepare() -> None:
    """Prepare received images until none is left, then what a re-screening waits for."""
    drain(_prepare_next, Queue.PREPARE, wake)


def _prepare_next() -> bool:
    # All of it within the drain: a database that is away at the start is one line and counted, as later.
    return _preparers().current().prepare_next() or RescreenPreparer(_service()).prepare_next()


@app.task(name=task_name(PURGE))  # type: ignore[untyped-decorator]
def purge() -> None:
    """Remove what retention allows, for some seconds; the rest an hour later."""
    attempt(_purge_some)


def _purge_some() -> bool:
    part = _service().now().hour % PARTS
    Purger(_service()).purge(seconds=DRAIN_SECONDS, part=part, parts=PARTS)
    return True
