"""The train queue: `cxr-train refresh` in a process of its own, as beat asks for it."""

from worker.bootstrap import build_service
from worker.celery import app, process_settings, wake
from worker.champion import find_champion
from worker.queues import TRAIN, task_name
from worker.retraining import refresh
from worker.tasks.drain import attempt


@app.task(name=task_name(TRAIN))  # type: ignore[untyped-decorator]
def train() -> None:
    """Continue from the model in service on newly labelled films, unless that is being done; promotes nothing."""
    attempt(_refresh)


def _refresh() -> bool:
    service = build_service(process_settings(), wake)
    directory = find_champion(service).directory
    service.database.dispose()
    return refresh(service.settings.retraining, directory)
