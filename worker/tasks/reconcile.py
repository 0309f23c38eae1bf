"""The reconciliation that beat sends through the prepare queue, as what comes by C-GET goes into the spool."""

from functools import cache

from worker.bootstrap import build_service
from worker.celery import app, process_settings, wake
from worker.intake import Intake
from worker.queues import RECONCILE, task_name
from worker.reconciling.night import NightlyRun
from worker.reconciling.run import Reconciler
from worker.tasks.drain import attempt


@cache
def _nightly_run() -> NightlyRun:
    service = build_service(process_settings(), wake)
    return NightlyRun(Reconciler(service, Intake(service).receive))


@app.task(name=task_name(RECONCILE))  # type: ignore[untyped-decorator]
def reconcile() -> None:
    """Go on with the night's run, if it is night."""
    attempt(lambda: _nightly_run().go_on() is not None)
