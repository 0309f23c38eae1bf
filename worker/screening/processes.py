"""The processes that prepare files, seen from the one that screens."""

import json
import os
import select
import subprocess
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Self

import numpy as np

from dicom_io.reasons import Reason
from worker.domain import ImageState
from worker.errors import ConfigurationError
from worker.model.input_spec import InputSpec
from worker.screening.child import READY
from worker.screening.preparation import Facts, Prepared, file_sha256, nothing_prepared
from worker.screening.record import NO_BYTES

ATTEMPTS = 2
SECONDS_PER_FILE = 300.0
_ROOT = Path(__file__).parents[2]
# The processes are the parallelism; threads inside them would only fight.
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}


class ChildDiedError(Exception):
    """A preparing process ended before it answered."""


class ChildSilentError(ChildDiedError):
    """It was ended, because it did not answer in time."""


class _Child:
    def __init__(self, spec: InputSpec) -> None:
        self._spec = spec
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        # -P: what lies in the current folder, among the films, is no module of ours.
        command = [sys.executable, "-P", "-m", "worker.screening.child", spec.model_dump_json()]
        environment = {**os.environ, **_ONE_THREAD, "PYTHONPATH": path}
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True
        )
        self._ready = False

    def prepare(self, path: Path, seconds: float) -> Prepared:
        self._wait_until_ready()
        questions, answers = self._pipes()
        try:
            questions.write(json.dumps(str(path)).encode() + b"\n")
            questions.flush()
        except BrokenPipeError:
            raise ChildDiedError from None
        self._wait_for_answer(answers, seconds)
        line = answers.readline()
        if not line.endswith(b"\n"):
            raise ChildDiedError
        facts = Facts.model_validate_json(line)
        shape = (facts.frames, self._spec.size, self._spec.size)
        raw = answers.read(int(np.prod(shape)))
        if len(raw) < np.prod(shape):
            raise ChildDiedError
        return Prepared(facts, np.frombuffer(raw, np.uint8).reshape(shape))

    def kill(self) -> None:
        self._process.kill()

    def bury(self) -> None:
        self.kill()
        self._process.wait()
        for pipe in self._pipes():
            try:
                pipe.close()
            except BrokenPipeError:  # a question that was never read
                continue

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("started with pipes")
        return self._process.stdin, self._process.stdout

    def _wait_until_ready(self) -> None:
        if self._ready:
            return
        if self._pipes()[1].readline() != READY:
            if self._process.wait() < 0:  # a signal: it may start another time
                raise ChildDiedError
            raise ConfigurationError("a preparing process could not start: what it said stands above")
        self._ready = True

    def _wait_for_answer(self, answers: IO[bytes], seconds: float) -> None:
        poll = select.poll()
        poll.register(answers, select.POLLIN)
        if not poll.poll(seconds * 1000):
            self.kill()
            raise ChildSilentError


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


class PreparingProcesses:
    """Prepares files in processes of its own; `prepare` may be called by as many threads as there are processes.

    The processes start at once and die with this one: their standard input ends.
    """

    def __init__(
        self, spec: InputSpec, processes: int, *, attempts: int = ATTEMPTS, seconds_per_file: float = SECONDS_PER_FILE
    ) -> None:
        self.count = processes
        self._spec = spec
        self._attempts = attempts
        self._seconds = seconds_per_file
        self._lock = threading.Lock()
        self._closed = False
        self._children = {_Child(spec) for _ in range(processes)}
        self._idle: SimpleQueue[_Child] = SimpleQueue()
        for child in self._children:
            self._idle.put(child)

    def __enter__(self) -> Self:
        """End the processes with the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes; no thread may use them any more."""
        self.kill()
        for child in self._children:
            child.bury()

    def prepare(self, path: Path) -> Prepared:
        """Prepare one file, in whichever process is idle.

        A file that kills its process, or holds it for longer than `seconds_per_file`, is given to another one; after
        `attempts` of them it is set aside.

        Raises:
            ConfigurationError: if no process can be started.
            ChildDiedError: if the processes were closed meanwhile.
        """
        content_sha256 = NO_BYTES
        for _ in range(self._attempts):
            try:
                return self._try(path)
            except ChildSilentError:  # we might wait as long for its bytes
                continue
            except ChildDiedError:
                if self._closed:
                    raise
                content_sha256 = _sha256_or_none(path)
        return nothing_prepared(self._spec, content_sha256, ImageState.FAILED, Reason.ATTEMPTS_EXHAUSTED)

    def kill(self) -> None:
        """Kill every process; whoever waits for one gets `ChildDiedError`."""
        with self._lock:
            self._closed = True
            for child in self._children:
                child.kill()

    def _try(self, path: Path) -> Prepared:
        child = self._idle.get()
        try:
            return child.prepare(path, self._seconds)
        except ChildDiedError:
            child = self._replace(child)
            raise
        finally:
            self._idle.put(child)

    def _replace(self, child: _Child) -> _Child:
        with self._lock:
            if self._closed:
                return child
            child.bury()
            self._children.remove(child)
            successor = _Child(self._spec)
            self._children.add(successor)
            return successor


def _sha256_or_none(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError:
        return NO_BYTES
