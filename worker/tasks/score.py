"""The score queue."""

import threading
from collections.abc import Callable
from functools import cache, partial

import structlog
from celery.platforms import EX_FAILURE
from celery.worker import state

from worker.bootstrap import build_service
from worker.bootstrap_score import build_engines, build_rescreener, build_scorer
from worker.celery import app, process_settings, wake
from worker.errors import DeviceLostError
from worker.feeding import Feeder
from worker.following import Follower
from worker.queues import Queue, task_name
from worker.rescreening.engines import Engines
from worker.rescreening.scoring import make_way
from worker.scoring import Scorer
from worker.service import Service
from worker.tasks.drain import attempt, drain

_ONE_MODEL = threading.Lock()  # of all the threads of the pool, on the device
_ONE_RESCREENER = threading.Lock()  # of them; the others have live work

_log = structlog.get_logger()


@cache
def _service() -> Service:
    return build_service(process_settings(), wake)


@cache
def _scorers() -> Follower[Scorer]:
    return Follower(_service(), partial(build_scorer, _service()))


def _scorer() -> Scorer:
    with _ONE_MODEL:
        return _scorers().current()


@cache
def _engines() -> Engines:
    return build_engines(_service(), _scorer)


@app.task(name=task_name(Queue.SCORE))  # type: ignore[untyped-decorator]
def score() -> None:
    """Score prepared frames until none is left, then the open re-screening's."""
    feeder = Feeder(_scorer)
    drain(lambda: _ends_without_device(lambda: feeder.score_next_batch() or _rescreen(feeder)), Queue.SCORE, wake)
    _finish(feeder)


def _rescreen(feeder: Feeder) -> bool:
    if not _ONE_RESCREENER.acquire(blocking=False):
        return False
    try:
        rescreener = build_rescreener(_service(), _engines(), lambda: _score_live(feeder))
        return rescreener.score_next_chunk()
    finally:
        _ONE_RESCREENER.release()


def _score_live(feeder: Feeder) -> None:
    make_way(_service(), lambda: attempt(lambda: _ends_without_device(feeder.score_next_batch)))
    _finish(feeder)


def _finish(feeder: Feeder) -> None:
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
