"""The processes of a service, each of which can be killed alone; what ends is started again, as systemd would."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import REPOSITORY
from tests.end_to_end.service import descendants

POLL_SECONDS = 0.05


@dataclass
class Part:
    """One process of the service, with the processes that it starts itself.

    Attributes:
        held: it is not started again while this is set.
        starts: how often it was started.
        tree: whose code it runs.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    held: bool = False
    starts: int = 0
    tree: Path = REPOSITORY
    _begun: int = 0

    def said(self) -> str:
        """What the process has printed since its last start."""
        if not self.log.exists():
            return ""
        return self.log.read_bytes()[self._begun :].decode(errors="replace")

    def processes(self) -> list[int]:
        """The process and those that it has started; empty while it is down."""
        if self.process is None or self.process.poll() is not None:
            return []
        return [self.process.pid, *descendants(self.process.pid)]

    def keep(self) -> None:
        """Start the process if it is not running."""
        if self.process is not None and self.process.poll() is None:
            return
        self.end(signal.SIGKILL)  # what a killed process has left behind, such as a pool without its master
        if not self.held:
            self._start()

    def end(self, number: signal.Signals) -> None:
        """Send a signal to the process and all that it has started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def _start(self) -> None:
        # In its tree, so that the processes import the very code that is under test.
        with self.log.open("ab") as log:
            self._begun = log.tell()
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                cwd=self.tree,
                start_new_session=True,
            )
        self.starts += 1


@dataclass
class Keeper:
    """Keeps parts running, in a thread that is the parent of all of them, until it is told to stop."""

    parts: Sequence[Part]
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start every part."""
        self._thread = threading.Thread(target=self._run, name="keeper")
        self._thread.start()

    def stop(self) -> None:
        """Kill every part."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            for part in self.parts:
                part.keep()
            self._stop.wait(POLL_SECONDS)
        for part in self.parts:
            part.end(signal.SIGKILL)
        for part in self.parts:
            if part.process is not None:
                part.process.wait()
