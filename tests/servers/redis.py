"""A private Redis."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from tests.servers.ports import LOOPBACK, free_port
from tests.servers.processes import running
from tests.servers.programs import require_program


def _answers(url: str) -> bool:
    try:
        with Redis.from_url(url) as client:
            return bool(client.ping())
    except RedisError:
        return False


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run a server that keeps nothing on disk; the value is its URL."""
    program = require_program("redis-server", "redis-server")
    port = free_port()
    url = f"redis://{LOOPBACK}:{port}/0"
    command = [program, "--bind", LOOPBACK, "--port", str(port), "--save", "", "--appendonly", "no"]
    with running(command, ready=lambda: _answers(url), log=folder / "redis.log"):
        yield url


def flush(url: str) -> None:
    """Forget every key of the server."""
    with Redis.from_url(url) as client:
        client.flushall()
