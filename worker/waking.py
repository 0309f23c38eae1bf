"""Sending wake-ups: nobody waits for a broker that is away, hangs, or takes no messages."""

import time
from dataclasses import dataclass, field
from typing import Any

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from kombu.transport.virtual import Channel as VirtualChannel

from worker.broker import TIMEOUT_SECONDS
from worker.metrics.definitions import WAKES_LOST
from worker.queues import queue_of, task_name

MOST_WAITING = 32  # messages in a queue; more than its tasks that come by the clock
PAUSE_SECONDS = 5.0  # after a fault, so that a hanging broker costs a stream of objects one wait, and not one each

_log = structlog.get_logger()


@dataclass
class Waker:
    """Tells the workers of a task's queue to look for work; what is lost on the way the sweep will find in SQL."""

    app: Celery
    _silent_until: float = field(default=0.0, init=False)

    def __call__(self, task: str) -> None:
        """Send a wake-up; after a fault none is sent for `PAUSE_SECONDS`.

        Where many messages wait already nothing is added: whoever takes one of them will find what is committed by now.
        """
        if time.monotonic() < self._silent_until:
            WAKES_LOST.inc()
            return
        try:
            with self.app.producer_or_acquire() as producer:
                self._send(task, producer)
        except (OperationalError, OSError) as error:
            self._silent_until = time.monotonic() + PAUSE_SECONDS
            WAKES_LOST.inc()
            _log.warning("wake-up-lost", task=task, error=type(error.__cause__ or error).__name__)

    def _send(self, task: str, producer: Any) -> None:
        queue, connection = queue_of(task), producer.connection
        try:
            if _waiting(producer, queue) < MOST_WAITING:
                how = {"producer": producer, "retry": False, "ignore_result": True, "timeout": TIMEOUT_SECONDS}
                self.app.send_task(task_name(task), queue=queue, **how)
        except (OperationalError, *connection.connection_errors, *connection.channel_errors) as error:
            if connection.transport.driver_type == "amqp":  # to ask for the channel would be to connect once more
                connection.collect()  # half a message may have been written, or an answer still be on its way
            raise OperationalError from (error.__cause__ or error)


def _waiting(producer: Any, queue: str) -> int:
    """Return how many messages wait in a queue; 0 in RabbitMQ, whose queues are bounded themselves.

    Asked there, a server that takes no messages because its disk is full would not answer.
    """
    channel = producer.channel
    return int(channel._size(queue)) if isinstance(channel, VirtualChannel) else 0  # noqa: SLF001 - no other way
