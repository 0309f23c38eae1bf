"""The score queue."""

import threading
from collections.abc import Callable
from functools import cache, partial

import structlog
from celery.platforms import EX_FAILURE
from celery.worker import state

from worker.bootstrap import build_service
from worker.bootstrap_score import build_scorer
from worker.celery import app, process_settings, wake
from worker.errors import DeviceLostError
from worker.feeding import Feeder
from worker.following import Follower
from worker.queues import Queue, task_name
from worker.scoring import Scorer
from worker.tasks.drain import attempt, drain

_ONE_MODEL = threading.Lock()  # of all the threads of the pool, on the device

_log = structlog.get_logger()


@cache
def _scorers() -> Follower[Scorer]:
    service = build_service(process_settings(), wake)
    return Follower(service, partial(build_scorer, service))


def _scorer() -> Scorer:
    with _ONE_MODEL:
        return _scorers().current()


@app.task(name=task_name(Queue.SCORE))  # type: ignore[untyped-decorator]
def score() -> None:
    """Score prepared frames until none is left."""
    feeder = Feeder(_scorer)
    drain(lambda: _ends_without_device(feeder.score_next_batch), Queue.SCORE, wake)
    attempt(lambda: _ends_without_device(feeder.finish))


def _ends_without_device(step: Callable[[], bool]) -> bool:
    try:
        return step()
    except DeviceLostError as error:
        _log.critical("device-lost", error=str(error))
        _end_worker()
        return False


def _end_worker() -> None:
    # So that it is started anew, with status 1. Celery's own loops look at this between two messages; an exception
    # would end the task alone where the pool has threads.
    state.should_stop = EX_FAILURE
