"""Whether the broker can be reached, a Redis that forgets or is open to anybody, or a RabbitMQ with other queues."""

import ipaddress
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from amqp.exceptions import AccessRefused, PreconditionFailed
from kombu import Connection
from kombu import Queue as KombuQueue
from kombu.exceptions import OperationalError
from redis.exceptions import ResponseError

from worker.broker import BY_ITS_NAME, OTHER_QUEUE, broker_settings, is_rabbitmq
from worker.finding import DoubtfulError, Finding, NotWellError, attempt
from worker.settings import Settings

ANSWER_SECONDS = 5.0
_KEEPS = "noeviction"
_NOT_TOLD = "not told: the server does not let this user ask"


def examine_broker(settings: Settings) -> Iterator[Finding]:
    """Reach it; ask a Redis what it does when its memory is full and who may come in, a RabbitMQ for our queues."""
    if settings.broker_url is None:
        yield Finding("broker", f"embedded, in {settings.broker_dir}")
        return
    url = settings.broker_url.get_secret_value()
    reached = attempt("broker", partial(_reach, url))
    yield reached
    if reached.problem is not None:
        return
    if is_rabbitmq(url):
        yield attempt("broker's queues", partial(_queues, url, broker_settings(settings)["task_queues"]))
    elif Connection(url).transport.driver_type == "redis":
        yield attempt("broker's memory", partial(_memory, url))
        yield attempt("broker's door", partial(_door, url))


def _reach(url: str) -> str:
    with _opened(url) as connection:
        return f"{connection.as_uri()} answers"


def _queues(url: str, queues: Sequence[KombuQueue]) -> str:
    with _opened(url) as connection:
        for queue in queues:
            try:
                queue.bind(connection.channel()).declare()  # as every process does; one that is there stays as it is
            except PreconditionFailed:
                where = f"rabbitmqctl delete_queue -p {connection.virtual_host} {queue.name}"
                raise NotWellError(f"queue {queue.name}: {OTHER_QUEUE}: `{where}`") from None
            except AccessRefused:
                raise NotWellError(
                    f"queue {queue.name}: the user of broker_url may not declare it: grant it configure, write and "
                    "read on its virtual host (`rabbitmqctl set_permissions`)"
                ) from None
    return f"{', '.join(queue.name for queue in queues)}: as they must be"


def _memory(url: str) -> str:
    with _opened(url) as connection:
        try:
            memory = connection.default_channel.client.info("memory")
        except ResponseError:
            return _NOT_TOLD
    policy, most = str(memory.get("maxmemory_policy", _KEEPS)), int(memory.get("maxmemory", 0))
    if policy == _KEEPS:
        return f"maxmemory-policy {policy}"
    when = f"beyond its maxmemory of {most} bytes" if most else "as soon as it is given a maxmemory"
    raise DoubtfulError(
        f"Redis has maxmemory-policy {policy}, and drops keys {when}: wake-ups would be lost, and work stand still "
        f"until the next sweep; set maxmemory-policy {_KEEPS}"
    )


def _door(url: str) -> str:
    with _opened(url) as connection:
        if connection.password:
            return "Redis asks for a password"
        host = connection.hostname
        if not _is_own(host):
            raise DoubtfulError(
                f"Redis takes whoever reaches {host} without a password: set requirepass, and put the password into "
                "broker_url; or bind it to the loopback interface"
            )
        open_to = _open_to(connection.default_channel.client)
    if open_to is None:
        return "Redis without a password, reached on the loopback interface"
    raise DoubtfulError(
        f"Redis takes whoever reaches this host without a password (bind {open_to}, protected-mode no): set "
        "requirepass, and put the password into broker_url; or bind it to the loopback interface"
    )


def _open_to(client: Any) -> str | None:
    # In protected mode Redis itself turns away who comes from elsewhere without a password.
    try:
        told = {**client.config_get("bind"), **client.config_get("protected-mode")}
    except ResponseError:
        return None
    addresses = [address.removeprefix("-") for address in told.get("bind", "").split()] or ["*"]
    beyond = [address for address in addresses if address == "*" or not _is_own(address)]
    return " ".join(beyond) if beyond and told.get("protected-mode") == "no" else None


def _is_own(host: str | None) -> bool:
    """Whether only this host is behind a name: the loopback interface, or a socket's file."""
    if not host or host.startswith("/"):
        return True
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in found)


@contextmanager
def _opened(url: str) -> Iterator[Connection]:
    seconds = {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS}
    options = seconds if url.startswith(("redis", "valkey")) else {}
    tls = dict(BY_ITS_NAME) if url.startswith("amqps:") else False
    with Connection(url, connect_timeout=ANSWER_SECONDS, transport_options=options, ssl=tls) as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=2 * ANSWER_SECONDS)
            yield connection
        except (OperationalError, OSError, *connection.connection_errors, *connection.channel_errors) as error:
            cause = next(iter(str(error).splitlines()), type(error).__name__)
            raise NotWellError(
                f"{connection.as_uri()} cannot be used: {cause}; check broker_url, and that it runs: until it does, "
                "films are taken, and nothing that waits is taken up"
            ) from error
