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

from worker.broker import OTHER_QUEUE, broker_settings, is_encrypted, is_rabbitmq, takes_messages, tls_options
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
    reached = attempt("broker", partial(_reach, settings))
    yield reached
    if reached.problem is not None:
        return
    if is_rabbitmq(url):
        yield attempt("broker's queues", partial(_queues, settings))
        yield attempt("broker's room", partial(_room, settings))
    elif Connection(url).transport.driver_type == "redis":
        yield attempt("broker's memory", partial(_memory, settings))
        yield attempt("broker's door", partial(_door, settings))


def _reach(settings: Settings) -> str:
    with _opened(settings) as connection:
        return f"{connection.as_uri()} answers"


def _queues(settings: Settings) -> str:
    queues: Sequence[KombuQueue] = broker_settings(settings)["task_queues"]
    with _opened(settings) as connection:
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


def _room(settings: Settings) -> str:
    with _opened(settings) as connection:
        if takes_messages(connection):
            return "RabbitMQ takes messages"
    raise NotWellError(
        "RabbitMQ takes no messages, as its memory or disk is full: films are taken, and nothing that waits is taken "
        "up; `rabbitmqctl status` names the alarm: give it memory or disk, and everything goes on by itself"
    )


def _memory(settings: Settings) -> str:
    with _opened(settings) as connection:
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


def _door(settings: Settings) -> str:
    with _opened(settings) as connection:
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
def _opened(settings: Settings) -> Iterator[Connection]:
    url = settings.broker_url.get_secret_value() if settings.broker_url else ""
    bounds = (
        {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS}
        if url.startswith(("redis", "valkey"))
        else {"read_timeout": ANSWER_SECONDS, "write_timeout": ANSWER_SECONDS}
    )
    tls = tls_options(settings) if is_encrypted(url) else False
    with Connection(url, connect_timeout=ANSWER_SECONDS, transport_options=bounds, ssl=tls) as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=2 * ANSWER_SECONDS)
            yield connection
        except (OperationalError, OSError, *connection.connection_errors, *connection.channel_errors) as error:
            cause = next(iter(str(error).splitlines()), type(error).__name__)
            raise NotWellError(
                f"{connection.as_uri()} cannot be used: {cause}; {_advice(settings, cause)}: until it does, films are "
                "taken, and nothing that waits is taken up"
            ) from error


def _advice(settings: Settings, cause: str) -> str:
    if "certificate verify failed" not in cause:
        return "check broker_url, and that it runs"
    known = settings.broker_tls.authorities or "the system's, as none is set"
    return f"its certificate must name the host of broker_url, and its authority be in broker_tls.authorities ({known})"
