"""A private Redis."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from redis import Redis
from redis.exceptions import AuthenticationError, RedisError

from dicom_io.types import TransportSecurity
from tests.servers.ports import LOOPBACK, accepts, free_port
from tests.servers.processes import running
from tests.servers.programs import require_program


def _answers(url: str) -> bool:
    try:
        with Redis.from_url(url) as client:
            return bool(client.ping())
    except AuthenticationError:
        return True
    except RedisError:
        return False


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run a server that keeps nothing on disk; the value is its URL."""
    port = free_port()
    with serving(folder, port):
        yield url_of(port)


@contextlib.contextmanager
def serving(folder: Path, port: int, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server that keeps nothing on disk, on a given port; the value is its process."""
    program = require_program("redis-server", "redis-server")
    command = [program, "--bind", LOOPBACK, "--port", str(port), "--save", "", "--appendonly", "no"]
    with running([*command, *options], ready=lambda: _answers(url_of(port)), log=folder / "redis.log") as process:
        yield process


@contextlib.contextmanager
def encrypted(folder: Path, own: TransportSecurity) -> Iterator[int]:
    """Run a server that speaks TLS only and asks for certificates of the same authority; the value is its port."""
    program, port = require_program("redis-server", "redis-server"), free_port()
    files = ("--tls-cert-file", own.certificate, "--tls-key-file", own.key, "--tls-ca-cert-file", own.authorities)
    options = ("--port", 0, "--tls-port", port, "--tls-auth-clients", "yes", "--save", "", *files)
    command = [program, "--bind", LOOPBACK, *map(str, options)]
    with running(command, ready=lambda: accepts(port), log=folder / "redis.log"):
        yield port


def url_of(port: int) -> str:
    """The URL of a server on a port."""
    return f"redis://{LOOPBACK}:{port}/0"


def flush(url: str) -> None:
    """Forget every key of the server."""
    with Redis.from_url(url) as client:
        client.flushall()
