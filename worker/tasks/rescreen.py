"""The nightly re-screening that beat sends through the deliver queue: it only begins here, score workers do it."""

from worker.bootstrap import build_service
from worker.celery import app, process_settings, wake
from worker.queues import RESCREEN, task_name
from worker.rescreening.starting import start_nightly
from worker.tasks.drain import attempt


@app.task(name=task_name(RESCREEN))  # type: ignore[untyped-decorator]
def rescreen() -> None:
    """Begin the night's run, unless one is still going on."""
    attempt(_start)


def _start() -> bool:
    service = build_service(process_settings(), wake)
    try:
        return start_nightly(service) is not None
    finally:
        service.database.dispose()
