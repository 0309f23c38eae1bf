"""A private Redis."""

import contextlib
import subprocess
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
    port = free_port()
    with serving(folder, port):
        yield url_of(port)


@contextlib.contextmanager
def serving(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server that keeps nothing on disk, on a given port; the value is its process."""
    program = require_program("redis-server", "redis-server")
    command = [program, "--bind", LOOPBACK, "--port", str(port), "--save", "", "--appendonly", "no"]
    with running(command, ready=lambda: _answers(url_of(port)), log=folder / "redis.log") as process:
        yield process


def url_of(port: int) -> str:
    """The URL of a server on a port."""
    return f"redis://{LOOPBACK}:{port}/0"


def flush(url: str) -> None:
    """Forget every key of the server."""
    with Redis.from_url(url) as client:
        client.flushall()
