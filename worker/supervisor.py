"""Running the service's processes on one machine: one that exits is started again, and all die with this one."""

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

POLL_SECONDS = 0.2
FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
HEALTHY_AFTER_SECONDS = 60.0
STOP_SECONDS = 20.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_log = structlog.get_logger()


@dataclass
class Child:
    """A process that is kept running; the delay before a restart doubles until it has run for a while."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    delay: float = FIRST_DELAY_SECONDS
    started_at: float = 0.0
    restart_at: float = 0.0

    def ensure_running(self, now: float) -> None:
        """Start the process, or start it again when its delay is over."""
        if self.process is None:
            if now >= self.restart_at:
                self._start(now)
        elif self.process.poll() is not None:
            _kill_group(self.process.pid)  # what it started and left behind, such as a pool without its master
            self._plan_restart(now, self.process.returncode)

    def _start(self, now: float) -> None:
        # Its own process group, so that its own children are stopped with it; the kernel kills it if we are killed.
        self.process = subprocess.Popen(  # noqa: S603 - our own commands
            self.command,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one call to prctl
        )
        self.started_at = now

    def _plan_restart(self, now: float, code: int) -> None:
        if now - self.started_at > HEALTHY_AFTER_SECONDS:
            self.delay = FIRST_DELAY_SECONDS
        _log.error("process-exited", process=self.name, code=code, restart_in_seconds=self.delay)
        self.process = None
        self.restart_at = now + self.delay
        self.delay = min(self.delay * 2, LONGEST_DELAY_SECONDS)

    def terminate(self) -> None:
        """Ask the process to finish what it is doing and end."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait_or_kill(self, seconds: float) -> None:
        """Wait for the end; kill the whole group if it does not come in time."""
        if self.process is None:
            return
        try:
            self.process.wait(timeout=max(seconds, 0))
        except subprocess.TimeoutExpired:
            _log.error("process-killed", process=self.name)
        _kill_group(self.process.pid)
        self.process.wait()


@dataclass
class Supervisor:
    """Keeps children running until told to stop."""

    children: Sequence[Child] = field(default_factory=tuple)

    def run(self, stop: threading.Event) -> None:
        """Start everything, restart what exits, and end everything once `stop` is set."""
        try:
            while not stop.is_set():
                for child in self.children:
                    child.ensure_running(time.monotonic())
                stop.wait(POLL_SECONDS)
        finally:
            self._end()

    def _end(self) -> None:
        for child in self.children:
            child.terminate()
        end = time.monotonic() + STOP_SECONDS
        for child in self.children:
            child.wait_or_kill(end - time.monotonic())


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _kill_group(process_id: int) -> None:
    try:
        os.killpg(process_id, signal.SIGKILL)
    except ProcessLookupError:
        return
