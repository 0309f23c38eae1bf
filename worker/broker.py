"""How Celery reaches its broker: embedded, Redis, or RabbitMQ with quorum queues."""

from typing import Any

from kombu import Queue as KombuQueue

from worker import embedded_broker
from worker.keepalive import SOCKET_OPTIONS
from worker.queues import TRAIN, Queue
from worker.settings import Settings

TIMEOUT_SECONDS = 2
HEALTH_CHECK_SECONDS = 5
QUEUE_LENGTH = 1024  # in RabbitMQ, the oldest go first; enough for a nightly task to outlast sweeps that nobody takes
# RabbitMQ never changes a queue that is there, and a declaration that asks for another one fails.
OTHER_QUEUE = (
    "an earlier version made it as another kind of queue: give all hosts of this version a virtual host of their own "
    "in broker_url, or stop the service everywhere and delete the queue (nothing but wake-ups is in it)"
)
BY_ITS_NAME = {"server_hostname": None}  # TLS options of kombu: the certificate must name the host of the URL
_NAMES = (*Queue, TRAIN)
_PATIENCE = {"max_retries": 1, "interval_start": 0}  # a sender waits while its object is told of


def broker_settings(settings: Settings) -> dict[str, Any]:
    """Return Celery's settings of the broker and its queues.

    A broker that is away, hangs or was cut off is noticed, and reached again, within some ten seconds.
    """
    if settings.broker_url is None:
        return {"task_queues": [KombuQueue(name) for name in _NAMES], **embedded_broker.configure(settings.broker_dir)}
    url = settings.broker_url.get_secret_value()
    return {"broker_url": url, **(_rabbitmq(url) if is_rabbitmq(url) else _redis())}


def is_rabbitmq(url: str) -> bool:
    """Whether a broker URL names RabbitMQ."""
    return url.partition(":")[0] in {"amqp", "amqps", "pyamqp"}


def _redis() -> dict[str, Any]:
    timeouts = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
    alive = {"socket_keepalive": True, "socket_keepalive_options": SOCKET_OPTIONS}
    options = {**timeouts, **alive, "health_check_interval": HEALTH_CHECK_SECONDS, **_PATIENCE}
    return {"broker_transport_options": options, "task_queues": [KombuQueue(name) for name in _NAMES]}


def _rabbitmq(url: str) -> dict[str, Any]:
    # Quorum queues outlive the loss of a node. Nobody waits for the confirmation of a message: RabbitMQ withholds it
    # while its disk is full, and a lost wake-up is only a late one.
    arguments = {"x-queue-type": "quorum", "x-max-length": QUEUE_LENGTH, "x-overflow": "drop-head"}
    tls = {"broker_use_ssl": dict(BY_ITS_NAME)} if url.startswith("amqps:") else {}
    return {
        "broker_connection_timeout": TIMEOUT_SECONDS,
        "broker_transport_options": {"socket_settings": SOCKET_OPTIONS, **_PATIENCE},
        "task_queues": [KombuQueue(name, queue_arguments=arguments) for name in _NAMES],
        **tls,
    }
