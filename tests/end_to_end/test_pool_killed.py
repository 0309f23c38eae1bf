"""Celery's pool of processes, as of `celery -A worker worker` on Redis or RabbitMQ, under kill -9."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.end_to_end.service import descendants
from tests.servers.ports import wait_until
from worker.db import Database
from worker.schema import migrate

CHILDREN = 2
POOL = ("--pool", "prefork", "--concurrency", str(CHILDREN))


@contextmanager
def pool(folder: Path, broker_url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker with all of its children."""
    database = Database(f"sqlite:///{folder / 'cxr-triage.sqlite'}")
    migrate(database)
    database.dispose()
    environment = {**os.environ, "CXR_DATA_DIR": str(folder), "CXR_BROKER_URL": broker_url}
    command = [sys.executable, "-m", "celery", "-A", "worker", "--quiet", "worker", "-Q", "prepare", *POOL]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until(lambda: b"ready" in (folder / "log").read_bytes(), "the worker ready", seconds=60)
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.nightly
def test_a_killed_child_is_replaced_and_none_outlives_its_worker(tmp_path: Path, redis_url: str) -> None:
    """What a child held is free after its lease; a child without its worker would go on beside the next one."""
    with pool(tmp_path, redis_url) as worker:
        killed, other = descendants(worker.pid)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(set(descendants(worker.pid)) - {killed}) == CHILDREN, "another child")
        children = descendants(worker.pid)
        assert other in children
        worker.kill()
        wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children), "the end of all")
