"""The same job on PostgreSQL and RabbitMQ with quorum queues."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import Connection
from kombu import Queue as KombuQueue
from pydantic import SecretStr

from dicom_io.phantom import phantom_dataset
from dicom_io.scu import store
from tests.end_to_end.conftest import StartService
from tests.end_to_end.service import RunningService
from tests.servers.ports import wait_until
from tests.servers.rabbitmq import RabbitMQ, rabbitmq
from worker.broker import OTHER_QUEUE, QUEUE_LENGTH
from worker.broker_checks import examine_broker
from worker.finding import Finding
from worker.queues import Queue
from worker.settings import Settings


@pytest.fixture(scope="module")
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
    assert {name: kind for name, (kind, _) in broker.queues().items()} == dict.fromkeys(Queue, "quorum")
    wait_until(lambda: sum(waiting for _, waiting in broker.queues().values()) < 10, "what came early to be taken")
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
    wait_until(lambda: broker.queues()["score"] == ("quorum", QUEUE_LENGTH), "RabbitMQ to count the messages")


def as_of_old(broker: RabbitMQ) -> None:
    """Leave the queue `deliver` as versions made it that knew no quorum queues."""
    with Connection(broker.url) as connection:
        queue = KombuQueue(Queue.DELIVER, channel=connection.default_channel)
        queue.delete()
        queue.queue_declare()


def test_queues_of_an_earlier_version_are_told_of(broker: RabbitMQ, tmp_path: Path) -> None:
    """RabbitMQ refuses ours under these names: each worker says so in one line, and so does `doctor`."""
    environment = {**os.environ, "CXR_DATA_DIR": str(tmp_path), "CXR_BROKER_URL": broker.url}
    settings = Settings(data_dir=tmp_path, broker_url=SecretStr(broker.url))
    assert [finding.problem for finding in examine_broker(settings)] == [None, None]
    as_of_old(broker)
    subprocess.run([sys.executable, "-m", "worker.cli", "migrate"], check=True, env=environment, timeout=60)
    worker = (sys.executable, "-m", "celery", "-A", "worker", "--quiet", "worker", "--pool", "solo", "-Q", "deliver")
    ended = subprocess.run(worker, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert OTHER_QUEUE in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stdout + ended.stderr
    reached, queues = examine_broker(settings)
    assert reached.problem is None
    assert OTHER_QUEUE in str(queues.problem)
    assert "`rabbitmqctl delete_queue -p / deliver`" in str(queues.problem)


def told(url: str) -> dict[str, Finding]:
    """What the doctor says of a broker, by name."""
    return {finding.name: finding for finding in examine_broker(Settings(broker_url=SecretStr(url)))}


@pytest.mark.parametrize("wrong", [("cxr:", "nobody:"), ("//", "//nowhere")], ids=["password", "virtual host"])
def test_a_rabbitmq_that_lets_nobody_in_is_one_line(broker: RabbitMQ, wrong: tuple[str, str]) -> None:
    """The doctor says so without a stack trace or the password, and `doctor --only` blames no worker for it."""
    head, _, tail = broker.url.rpartition(wrong[0])
    url = f"{head}{wrong[1]}{tail}"
    said = told(url)
    assert list(said) == ["broker"]
    assert "cannot be used" in str(said["broker"].problem)
    assert broker.password not in str(said["broker"].problem)
    words = "from worker.celery import broker_answers\nassert broker_answers() is False"
    subprocess.run([sys.executable, "-c", words], check=True, env={**os.environ, "CXR_BROKER_URL": url}, timeout=60)
