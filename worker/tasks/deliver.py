"""The deliver queue, and the sweep that beat sends through it."""

from functools import cache

from worker.bootstrap import build_service, build_speaker
from worker.celery import app, process_settings, wake
from worker.champion import champion_in_service
from worker.delivering import Deliverer
from worker.delivery.warm_up import warm_up
from worker.maintenance import Sweeper
from worker.queues import SWEEP, Queue, task_name
from worker.service import Service
from worker.tasks.drain import attempt, drain


@cache
def _service() -> Service:
    return build_service(process_settings(), wake)


@cache
def _deliverer() -> Deliverer:
    warm_up()
    return Deliverer(_service())


@app.task(name=task_name(Queue.DELIVER))  # type: ignore[untyped-decorator]
def deliver() -> None:
    """Send results until none is due."""
    drain(lambda: _deliverer().deliver_next(), Queue.DELIVER, wake)


@app.task(name=task_name(SWEEP))  # type: ignore[untyped-decorator]
def sweep() -> None:
    """Do once what no message asks for."""
    drain(_sweep_once, Queue.DELIVER, wake)


def _sweep_once() -> bool:
    service = _service()
    Sweeper(service, build_speaker(service, champion_in_service(service.database)), attempt).sweep()
    return False
