"""Whose signs of life are forgotten, and whose are not."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.ports import wait_until
from worker import heartbeat
from worker.heartbeat import FORGOTTEN_AFTER_SECONDS, ages

NODE = f"prepare-0@{socket.gethostname()}"
_LIFE = """
import sys, time
from pathlib import Path
from worker import heartbeat
heartbeat.begin(Path(sys.argv[1]), ["prepare"], sys.argv[2])
heartbeat.beat()
time.sleep(60)
"""


@contextmanager
def living(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has given one sign of life, and is killed at the end of the block."""
    with subprocess.Popen([sys.executable, "-c", _LIFE, str(folder), NODE]) as process:
        try:
            wait_until(lambda: NODE in ages(folder, "prepare"), "a sign of life")
            yield process
        finally:
            process.kill()


def set_back(folder: Path, seconds: float) -> None:
    """Let the sign of life have been given so long ago."""
    at = time.monotonic() - seconds
    os.utime(folder / f"prepare.{NODE}", (at, at))


@pytest.mark.parametrize("seconds", [FORGOTTEN_AFTER_SECONDS + 60, -86400.0])
def test_a_killed_process_is_missed_for_an_hour_and_forgotten_then(tmp_path: Path, seconds: float) -> None:
    """Nobody has to delete its file by hand. What is of the last start of the host goes at once."""
    with living(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    set_back(tmp_path, FORGOTTEN_AFTER_SECONDS - 60)
    assert NODE in ages(tmp_path, "prepare")
    set_back(tmp_path, seconds)
    assert ages(tmp_path, "prepare") == {}
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_hangs_is_never_forgotten(tmp_path: Path) -> None:
    """However long it has done nothing: it lives, and holds its lock."""
    with living(tmp_path) as process:
        process.send_signal(signal.SIGSTOP)
        set_back(tmp_path, 2 * FORGOTTEN_AFTER_SECONDS)
        assert ages(tmp_path, "prepare")[NODE] > FORGOTTEN_AFTER_SECONDS


def test_a_file_that_proves_nothing_stays(tmp_path: Path) -> None:
    """As versions before made it, which held no lock while they lived."""
    (tmp_path / f"prepare.{NODE}").touch()
    set_back(tmp_path, 2 * FORGOTTEN_AFTER_SECONDS)
    assert NODE in ages(tmp_path, "prepare")


def test_a_process_whose_file_was_deleted_makes_and_holds_another(tmp_path: Path) -> None:
    """Its next sign of life is as good as the first."""
    heartbeat.begin(tmp_path, ["prepare"], NODE)
    try:
        heartbeat.beat()
        (tmp_path / f"prepare.{NODE}").unlink()
        heartbeat.beat()
        set_back(tmp_path, 2 * FORGOTTEN_AFTER_SECONDS)
        assert NODE in ages(tmp_path, "prepare")
    finally:
        heartbeat.end()
    assert list(tmp_path.iterdir()) == []
