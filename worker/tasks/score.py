"""The score queue."""

from functools import cache, partial

from worker.bootstrap import build_service
from worker.bootstrap_score import build_scorer
from worker.celery import app, process_settings, wake
from worker.following import Follower
from worker.queues import Queue, task_name
from worker.scoring import Scorer
from worker.tasks.drain import drain


@cache
def _scorers() -> Follower[Scorer]:
    service = build_service(process_settings(), wake)
    return Follower(service, partial(build_scorer, service))


@app.task(name=task_name(Queue.SCORE))  # type: ignore[untyped-decorator]
def score() -> None:
    """Score prepared frames until none is left."""
    drain(lambda: _scorers().current().score_next_batch(), Queue.SCORE, wake)
