"""Starting a server as a process group of its own that never outlives the tests."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.servers.ports import wait_until


def _log_tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


def _is_up(process: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}:\n{_log_tail(log)}")
    return ready()


def _stop(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def running(
    command: Sequence[str], *, ready: Callable[[], bool], log: Path, user: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; the kernel kills it if the tests die first.

    Args:
        command: program and arguments.
        ready: tells whether the server answers yet.
        log: file that takes what the server prints.
        user: account to run as; only root may name one.

    Raises:
        RuntimeError: if it ends before it is ready, with the end of its log.
        TimeoutError: if it is not ready within 30 seconds.
    """
    # setpriv changes the account before it asks for the death signal: setuid would clear it (prctl(2)).
    account = ["--reuid", user, "--regid", user, "--init-groups"] if user else []
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", *account, "--pdeathsig", "KILL", "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        wait_until(lambda: _is_up(process, ready, log), f"{command[0]} answering")
        yield process
    finally:
        _stop(process)
