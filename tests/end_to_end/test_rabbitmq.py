"""The same job on PostgreSQL behind PgBouncer, and RabbitMQ with quorum queues; and a RabbitMQ that takes nothing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kombu import Connection
from kombu import Queue as KombuQueue
from pydantic import SecretStr

from dicom_io.phantom import phantom_dataset
from dicom_io.scu import store
from tests.end_to_end.conftest import StartService
from tests.end_to_end.service import RunningService
from tests.servers.certificates import Authority
from tests.servers.pgbouncer import pgbouncer
from tests.servers.ports import wait_until
from tests.servers.rabbitmq import RabbitMQ, rabbitmq
from worker.broker import OTHER_QUEUE, QUEUE_LENGTH
from worker.broker_checks import examine_broker
from worker.destinations import ClientTlsSettings
from worker.finding import Finding
from worker.queues import Queue
from worker.settings import Settings

ANSWERS = "from worker.celery import broker_answers\nprint(broker_answers())"
# Who has published before, as every worker has, and now asks the node for a queue that it has not used yet.
WAKE_IN_ALARM = """import os, time
from worker.celery import wake
wake("prepare")
while not os.path.exists(os.environ["BELL"]):
    time.sleep(0.02)
wake("prepare")
wake("score")
wake("deliver")"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """An empty RabbitMQ, which speaks TLS, too."""
    folder = tmp_path_factory.mktemp("rabbitmq")
    with rabbitmq(folder, Authority.make(folder, "authority").issue("server")) as node:
        yield node


@pytest.fixture
def pooled_url(postgres_url: str) -> Iterator[str]:
    """A database behind PgBouncer, which lends its servers for a transaction."""
    with pgbouncer(postgres_url, "transaction") as url:
        yield url


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
    start_service: StartService, pooled_url: str, broker: RabbitMQ, tmp_path: Path
) -> None:
    """A film is taken while RabbitMQ is dead; no worker has to be started again, and what nobody takes is bounded."""
    service = start_service(database_url=pooled_url, broker_url=broker.url, sweep_seconds=0.5)
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


def asked(words: str, **settings: str) -> str:
    """What a process of the service prints that runs these words; it must end by itself."""
    environment = {**os.environ, **settings}
    done = subprocess.run(
        [sys.executable, "-c", words], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_nobody_waits_for_a_rabbitmq_whose_memory_is_full(broker: RabbitMQ, tmp_path: Path) -> None:
    """It answers nothing any more to who has published; wake-ups are given up, and `doctor` names the alarm."""
    url = {"CXR_DATA_DIR": str(tmp_path), "CXR_BROKER_URL": broker.url}
    alarm = {"BELL": str(tmp_path / "alarm")}
    with ThreadPoolExecutor() as threads:
        sender = threads.submit(asked, WAKE_IN_ALARM, **url, **alarm)
        wait_until(lambda: "prepare" in broker.queues(), "the first wake-up")
        with broker.alarmed():
            Path(alarm["BELL"]).touch()
            assert told(broker.url)["broker's room"].problem is not None
            assert asked(ANSWERS, **url) == "False\n"
            assert "wake-up-lost" in sender.result()
    assert told(broker.url)["broker's room"].problem is None
    assert asked(ANSWERS, **url) == "True\n"


def test_rabbitmq_is_reached_over_tls_and_its_certificate_is_judged(broker: RabbitMQ, tmp_path: Path) -> None:
    """Every queue and wake-up over `amqps://`; a certificate of somebody else is one line with what to do."""
    assert broker.own is not None
    assert broker.own.authorities is not None
    said = told(broker.tls_url, broker.own.authorities)
    assert {finding.problem for finding in said.values()} == {None}
    settings = {"CXR_BROKER_URL": broker.tls_url, "CXR_BROKER_TLS__AUTHORITIES": str(broker.own.authorities)}
    assert asked(ANSWERS, CXR_DATA_DIR=str(tmp_path), **settings) == "True\n"
    (refused,) = told(broker.tls_url).values()
    assert "certificate verify failed" in str(refused.problem)
    assert "its authority be in broker_tls.authorities (the system's" in str(refused.problem)


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
    assert [finding.problem for finding in examine_broker(settings)] == [None, None, None]
    as_of_old(broker)
    subprocess.run([sys.executable, "-m", "worker.cli", "migrate"], check=True, env=environment, timeout=60)
    worker = (sys.executable, "-m", "celery", "-A", "worker", "--quiet", "worker", "--pool", "solo", "-Q", "deliver")
    ended = subprocess.run(worker, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert OTHER_QUEUE in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stdout + ended.stderr
    reached, queues, _ = examine_broker(settings)
    assert reached.problem is None
    assert OTHER_QUEUE in str(queues.problem)
    assert "`rabbitmqctl delete_queue -p / deliver`" in str(queues.problem)


def told(url: str, authorities: Path | None = None) -> dict[str, Finding]:
    """What the doctor says of a broker, by name."""
    settings = Settings(broker_url=SecretStr(url), broker_tls=ClientTlsSettings(authorities=authorities))
    return {finding.name: finding for finding in examine_broker(settings)}


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
