"""How Celery reaches its broker: embedded, Redis, or RabbitMQ with quorum queues."""

import ssl
from typing import Any

from amqp.exceptions import AccessRefused
from kombu import Connection
from kombu import Queue as KombuQueue

from worker import embedded_broker
from worker.certificates import require_broker_files
from worker.keepalive import SOCKET_OPTIONS
from worker.queues import TRAIN, Queue
from worker.settings import Settings

TIMEOUT_SECONDS = 2
REPLY_SECONDS = 5  # for RabbitMQ's answers: a node with a full disk or memory reads nothing more from who publishes
HEALTH_CHECK_SECONDS = 5
QUEUE_LENGTH = 1024  # in RabbitMQ, the oldest go first; enough for a nightly task to outlast sweeps that nobody takes
# RabbitMQ never changes a queue that is there, and a declaration that asks for another one fails.
OTHER_QUEUE = (
    "an earlier version made it as another kind of queue: give all hosts of this version a virtual host of their own "
    "in broker_url, or stop the service everywhere and delete the queue (nothing but wake-ups is in it)"
)
NOBODY = "cxr-triage.nobody"
_NAMES = (*Queue, TRAIN)
_BOUNDS = {"read_timeout": REPLY_SECONDS, "write_timeout": REPLY_SECONDS}
_PATIENCE = {"max_retries": 1, "interval_start": 0}  # a sender waits while its object is told of


def broker_settings(settings: Settings) -> dict[str, Any]:
    """Return Celery's settings of the broker and its queues.

    A broker that is away, hangs or was cut off is noticed, and reached again, within some ten seconds.
    """
    if settings.broker_url is None:
        return {"task_queues": [KombuQueue(name) for name in _NAMES], **embedded_broker.configure(settings.broker_dir)}
    url = settings.broker_url.get_secret_value()
    tls = {"broker_use_ssl": tls_options(settings)} if is_encrypted(url) else {}
    return {
        "broker_url": url,
        **tls,
        "broker_pool_acquire_timeout": TIMEOUT_SECONDS,
        **(_rabbitmq() if is_rabbitmq(url) else _redis()),
    }


def is_rabbitmq(url: str) -> bool:
    """Whether a broker URL names RabbitMQ."""
    return url.partition(":")[0] in {"amqp", "amqps", "pyamqp"}


def is_encrypted(url: str) -> bool:
    """Whether a broker URL asks for TLS."""
    return url.partition(":")[0] in {"amqps", "rediss"}


def tls_options(settings: Settings) -> dict[str, Any]:
    """Return kombu's TLS options: the certificate is judged, and must name the host of the URL.

    Left to itself kombu takes any certificate of a Redis, and for a RabbitMQ any that a known authority has issued.

    Raises:
        ConfigurationError: if a file of `broker_tls` cannot be used.
    """
    require_broker_files(settings)
    files = settings.broker_tls
    named = {"ca_certs": files.authorities, "certfile": files.certificate, "keyfile": files.key}
    given = {name: str(path) for name, path in named.items() if path is not None}
    if settings.broker_url is not None and is_rabbitmq(settings.broker_url.get_secret_value()):
        return {"server_hostname": None, **given}  # kombu puts the host of the URL there
    ours = {f"ssl_{name}": path for name, path in given.items()}
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True, **ours}


def takes_messages(connection: Connection) -> bool:
    """Whether a broker takes what is published; a RabbitMQ whose memory or disk is full reads no more of it.

    Asked by messages to nobody, which it drops, and must confirm. The connection is of no use afterwards.
    """
    if connection.transport.driver_type != "amqp":
        return True
    try:
        channel = connection.channel()
        for _ in range(2):  # the first one it may still take
            message = channel.prepare_message(b"")
            channel.basic_publish_confirm(message, routing_key=NOBODY, timeout=TIMEOUT_SECONDS)
    except AccessRefused:  # which is an answer
        return True
    except TimeoutError:
        return False
    finally:
        connection.collect()
    return True


def _redis() -> dict[str, Any]:
    timeouts = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
    alive = {"socket_keepalive": True, "socket_keepalive_options": SOCKET_OPTIONS}
    options = {**timeouts, **alive, "health_check_interval": HEALTH_CHECK_SECONDS, **_PATIENCE}
    return {"broker_transport_options": options, "task_queues": [KombuQueue(name) for name in _NAMES]}


def _rabbitmq() -> dict[str, Any]:
    # Quorum queues outlive the loss of a node. Nobody waits for the confirmation of a message: RabbitMQ withholds it
    # while its disk is full, and a lost wake-up is only a late one.
    arguments = {"x-queue-type": "quorum", "x-max-length": QUEUE_LENGTH, "x-overflow": "drop-head"}
    return {
        "broker_connection_timeout": TIMEOUT_SECONDS,
        "broker_transport_options": {"socket_settings": SOCKET_OPTIONS, **_BOUNDS, **_PATIENCE},
        "task_queues": [KombuQueue(name, queue_arguments=arguments) for name in _NAMES],
    }
