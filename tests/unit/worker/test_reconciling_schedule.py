"""How the nightly run is asked for."""

from types import SimpleNamespace

import pytest

from worker import celery
from worker.queues import RECONCILE, Queue, task_name
from worker.schedule import schedule
from worker.sections import PeerSettings, ReconciliationSettings
from worker.settings import Settings

PACS = PeerSettings(ae_title="PACS", host="127.0.0.1", port=104)


def test_beat_asks_only_where_a_pacs_is_set() -> None:
    """Often, on the queue whose workers see the spool, and not for later: the task itself looks whether it is night."""
    assert RECONCILE not in schedule(Settings())
    entry = schedule(Settings(reconciliation=ReconciliationSettings(pacs=PACS)))[RECONCILE]
    assert entry["task"] == task_name(RECONCILE)
    assert entry["options"]["queue"] == Queue.PREPARE
    assert entry["options"]["expires"] <= entry["schedule"] <= 60


def test_a_worker_of_the_prepare_queue_knows_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker without the task would throw every wake-up away; the other queues' workers need not know it."""
    imported: list[str] = []

    def note(name: str) -> SimpleNamespace:
        imported.append(name)
        return SimpleNamespace(look_around=lambda *_: None)

    monkeypatch.setattr(celery, "import_module", note)
    for queue in Queue:
        consumer = SimpleNamespace(
            app=SimpleNamespace(amqp=SimpleNamespace(queues=SimpleNamespace(consume_from=[queue.value])))
        )
        celery._import_consumed_tasks(consumer)
    assert imported.count("worker.tasks.reconcile") == 1
    assert imported.index("worker.tasks.reconcile") < imported.index("worker.tasks.score")
