"""The score queue."""

from functools import cache

from worker.bootstrap import build_service
from worker.bootstrap_score import build_scorer
from worker.celery import app, process_settings, wake
from worker.queues import Queue, task_name
from worker.scoring import Scorer
from worker.tasks.drain import drain


@cache
def _scorer() -> Scorer:
    return build_scorer(build_service(process_settings(), wake))


@app.task(name=task_name(Queue.SCORE))  # type: ignore[untyped-decorator]
def score() -> None:
    """Score prepared frames until none is left."""
    drain(lambda: _scorer().score_next_batch(), Queue.SCORE, wake)
