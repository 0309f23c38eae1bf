"""What Celery is told of its broker."""

import ssl
from pathlib import Path

import pytest
from kombu import Connection
from pydantic import SecretStr

from worker.broker import QUEUE_LENGTH, broker_settings
from worker.queues import TRAIN, Queue
from worker.settings import Settings


def settings(tmp_path: Path, url: str | None) -> Settings:
    """Settings with a broker."""
    return Settings(data_dir=tmp_path, broker_url=None if url is None else SecretStr(url))


@pytest.mark.parametrize("scheme", ["amqp", "amqps", "pyamqp"])
def test_every_queue_of_rabbitmq_is_a_bounded_quorum_queue(scheme: str, tmp_path: Path) -> None:
    """What nobody takes cannot fill the broker, and no queue is lost with a node."""
    told = broker_settings(settings(tmp_path, f"{scheme}://mq//"))
    assert {queue.name for queue in told["task_queues"]} == {*Queue, TRAIN}
    for queue in told["task_queues"]:
        assert queue.durable
        assert queue.queue_arguments["x-queue-type"] == "quorum"
        assert queue.queue_arguments["x-max-length"] == QUEUE_LENGTH


def test_the_certificate_of_rabbitmq_must_name_its_host(tmp_path: Path) -> None:
    """With amqps:// py-amqp would take any certificate of a known authority, whoever holds it."""
    told = broker_settings(settings(tmp_path, "amqps://mq.example//"))
    assert told["broker_use_ssl"] == {"server_hostname": None}  # kombu puts the host of the URL there
    assert "broker_use_ssl" not in broker_settings(settings(tmp_path, "amqp://mq.example//"))


@pytest.mark.parametrize("url", [None, "redis://redis/0"])
def test_no_other_broker_is_asked_for_quorum_queues(url: str | None, tmp_path: Path) -> None:
    """Redis and the embedded broker have no types of queues."""
    told = broker_settings(settings(tmp_path, url))
    assert {queue.name for queue in told["task_queues"]} == {*Queue, TRAIN}
    assert not any(queue.queue_arguments for queue in told["task_queues"])


def test_a_silent_redis_is_noticed(tmp_path: Path) -> None:
    """Kombu hands every bound on to the connections that it makes."""
    told = broker_settings(settings(tmp_path, "redis://127.0.0.1:1/0"))
    with Connection(told["broker_url"], transport_options=told["broker_transport_options"]) as connection:
        options = told["broker_transport_options"]
        taken = connection.transport.Channel.from_transport_options
        assert {"socket_keepalive", "socket_keepalive_options", "socket_timeout", "health_check_interval"} <= {
            *taken
        } & options.keys()


def test_the_certificate_of_redis_is_judged(tmp_path: Path) -> None:
    """With rediss:// kombu would take any certificate, and tell it the password."""
    told = broker_settings(settings(tmp_path, "rediss://redis.example/0"))
    assert told["broker_use_ssl"] == {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    assert "broker_use_ssl" not in broker_settings(settings(tmp_path, "redis://redis.example/0"))


def test_no_answer_of_rabbitmq_is_waited_for_for_ever(tmp_path: Path) -> None:
    """With its memory or disk full it reads nothing more from who publishes."""
    told = broker_settings(settings(tmp_path, "amqp://mq.example//"))
    assert {"read_timeout", "write_timeout"} <= told["broker_transport_options"].keys()
