"""Celery's consumer, as several hosts with a network between them need it."""

from typing import Any, ClassVar

from amqp.exceptions import PreconditionFailed
from celery.worker.consumer import Consumer

from worker.broker import OTHER_QUEUE

_UNUSED = {"without_gossip": True, "without_mingle": True, "without_heartbeat": True}


class QuietConsumer(Consumer):  # type: ignore[misc]  # celery has no types
    """Takes messages, and keeps no company with other workers; connects anew when a message cannot be acknowledged.

    Gossip, mingle and heartbeats cost every worker a queue and a connection of their own. As soon as it sees a quorum
    queue Celery also declares 28 queues for messages with a delay; nothing is sent with one here, as SQL says what is
    due when.
    """

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]
        """The steps of a consumer's start."""

        default_steps: ClassVar = [step for step in Consumer.Blueprint.default_steps if "delayed_delivery" not in step]

    def __init__(self, *args: Any, worker_options: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, worker_options={**(worker_options or {}), **_UNUSED}, **kwargs)

    def start(self) -> None:
        """Take messages until told to stop.

        Raises:
            SystemExit: if RabbitMQ has another kind of queue under one of our names: one line, and status 1.
        """
        try:
            super().start()
        except PreconditionFailed as error:
            if error.method_name != "Queue.declare":
                raise
            raise SystemExit(f"cxr-triage: {error}: {OTHER_QUEUE}") from error

    def call_soon_ack(self, p: Any, logger: Any, _errors: Any, *args: Any, **kwargs: Any) -> Any:
        """Acknowledge or reject a message; an error of the connection ends the loop, and Celery connects anew.

        Celery only logs it. With Redis the message then counts as being worked on for ever, and a worker that takes one
        at a time never takes another one.
        """
        return super().call_soon_ack(p, logger, (), *args, **kwargs)
