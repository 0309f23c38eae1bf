"""The consumer, where acknowledging fails."""

from typing import Any
from unittest.mock import Mock

import pytest
from kombu import Message
from kombu.asynchronous import Hub
from redis.exceptions import ConnectionError as RedisConnectionError

from worker.consumer import QuietConsumer


@pytest.fixture
def hub() -> Any:
    """An event loop of kombu's."""
    return Hub()


def test_a_message_that_cannot_be_acknowledged_ends_the_loop(hub: Any) -> None:
    """Else a worker that takes one message at a time waits for ever: with Redis this one stays taken."""
    consumer = QuietConsumer.__new__(QuietConsumer)
    consumer.hub = hub
    channel = Mock(no_ack_consumers=None)
    channel.basic_ack.side_effect = RedisConnectionError
    message = Message(channel=channel, delivery_tag="1")
    consumer.call_soon_ack(message.ack_log_error, Mock(), (RedisConnectionError,))
    with pytest.raises(RedisConnectionError):
        next(hub.create_loop())


def test_no_worker_keeps_company_with_others() -> None:
    """No queues for messages with a delay."""
    assert not [step for step in QuietConsumer.Blueprint.default_steps if "delayed" in step]
