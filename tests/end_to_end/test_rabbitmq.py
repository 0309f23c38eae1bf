"""The same job on PostgreSQL and RabbitMQ with quorum queues."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_io.phantom import phantom_dataset
from dicom_io.scu import store
from tests.end_to_end.conftest import StartService
from tests.end_to_end.service import RunningService
from tests.servers.ports import wait_until
from tests.servers.rabbitmq import RabbitMQ, rabbitmq
from worker.broker import QUEUE_LENGTH
from worker.queues import Queue


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """An empty RabbitMQ."""
    with rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as node:
        yield node


def push(service: RunningService, seed: int) -> str:
    """Push a film; returns its study."""
    film = phantom_dataset(seed, kind="CR", rows=256, columns=256)
    assert store(service.listener, [film], calling_ae_title="PACS", timeout_seconds=30) == [0]
    return str(film.StudyInstanceUID)


def wake_too_often(folder: Path, broker: RabbitMQ) -> None:
    """As the listener and prepare do for days while nobody scores."""
    words = f"from worker.celery import wake\nfor _ in range({QUEUE_LENGTH + 50}): wake('score')"
    environment = {**os.environ, "CXR_DATA_DIR": str(folder / "data"), "CXR_BROKER_URL": broker.url}
    subprocess.run([sys.executable, "-c", words], check=True, env=environment, timeout=60)


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_films_are_flagged_over_quorum_queues_and_rabbitmq_may_be_killed(
    start_service: StartService, postgres_url: str, broker: RabbitMQ, tmp_path: Path
) -> None:
    """A film is taken while RabbitMQ is dead; no worker has to be started again, and what nobody takes is bounded."""
    service = start_service(database_url=postgres_url, broker_url=broker.url, sweep_seconds=0.5)
    first = push(service, 1)
    wait_until(lambda: first in service.concluded(), f"a concluded study, see {service.log}", seconds=120)
    queues = broker.queues()
    assert {name: kind for name, (kind, _) in queues.items()} == dict.fromkeys(Queue, "quorum")
    assert sum(waiting for _, waiting in queues.values()) < 10
    broker.kill()
    meanwhile = push(service, 2)
    broker.start()
    last = push(service, 3)
    wait_until(lambda: {meanwhile, last} <= service.concluded().keys(), f"both, see {service.log}", seconds=120)
    assert service.concluded()[last]["status"] == "SCREENED"
    service.stop()
    log = service.log.read_text()
    assert broker.password not in log
    assert "process-exited" not in log
    wake_too_often(tmp_path, broker)
    assert broker.queues()["score"] == ("quorum", QUEUE_LENGTH)
