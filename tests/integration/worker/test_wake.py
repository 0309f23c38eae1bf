"""Wake-ups: never more than are needed, and none that anybody waits for."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from tests.servers import redis as redis_server
from tests.servers.ports import LOOPBACK, free_port
from worker.waking import MOST_WAITING

WAKE = "from worker.celery import wake\nfor _ in range(100): wake('score')"


def wake_a_hundred_times(data_dir: Path, **settings: str) -> None:
    """As the listener and prepare do while nobody scores."""
    environment = {"CXR_DATA_DIR": str(data_dir), **settings}
    subprocess.run([sys.executable, "-c", WAKE], check=True, env={**os.environ, **environment}, timeout=60)


def test_a_queue_that_nobody_serves_does_not_grow_for_ever(tmp_path: Path) -> None:
    """A backlog costs a row each, not a message each: who takes one of those that wait finds all the work."""
    wake_a_hundred_times(tmp_path)
    assert len(list((tmp_path / "broker" / "queue").glob("*.score.msg"))) == MOST_WAITING


def test_nor_does_it_in_redis(tmp_path: Path, redis_url: str) -> None:
    """The same where the messages lie in a server's memory."""
    wake_a_hundred_times(tmp_path, CXR_BROKER_URL=redis_url)
    with Redis.from_url(redis_url) as client:
        assert client.llen("score") == MOST_WAITING


@pytest.mark.timeout(60)
def test_a_broker_that_is_away_is_not_waited_for(tmp_path: Path) -> None:
    """The object is durable, and the sweep will find it: its sender must not wait for the broker."""
    often = WAKE.replace("100", "20")
    environment = {"CXR_DATA_DIR": str(tmp_path), "CXR_BROKER_URL": f"redis://{LOOPBACK}:{free_port()}/0"}
    done = subprocess.run(
        [sys.executable, "-c", often],
        check=True,
        env={**os.environ, **environment},
        timeout=30,
        capture_output=True,
        text=True,
    )
    assert "wake-up-lost" in done.stdout + done.stderr


@pytest.mark.timeout(60)
def test_a_redis_that_hangs_is_waited_for_once(tmp_path: Path) -> None:
    """Not by each object of a stream: for some seconds after a fault nobody asks, and the sweep finds what waits."""
    port = free_port()
    with redis_server.serving(tmp_path, port) as server:
        stop = f"from worker.celery import wake\nwake('score')\nimport os\nos.kill({server.pid}, {signal.SIGSTOP:d})\n"
        environment = {"CXR_DATA_DIR": str(tmp_path), "CXR_BROKER_URL": redis_server.url_of(port)}
        try:
            subprocess.run(
                [sys.executable, "-c", stop + WAKE], check=True, env={**os.environ, **environment}, timeout=50
            )
        finally:
            server.send_signal(signal.SIGCONT)


@pytest.mark.timeout(60)
def test_a_rabbitmq_that_hangs_is_asked_for_one_connection(tmp_path: Path) -> None:
    """Its host takes connections and it says nothing: whoever waits for that does not wait for it a second time."""
    with socket.create_server((LOOPBACK, 0)) as silent:
        url = f"amqp://{LOOPBACK}:{silent.getsockname()[1]}//"
        environment = {"CXR_DATA_DIR": str(tmp_path), "CXR_BROKER_URL": url}
        subprocess.run([sys.executable, "-c", WAKE], check=True, env={**os.environ, **environment}, timeout=50)
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()
