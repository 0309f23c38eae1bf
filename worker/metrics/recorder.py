"""What a process counts, kept in a file of its own that the exporter reads.

Counting is arithmetic in memory; a thread writes the values every second, so that a disk which is full, slow or gone
holds up no work. A process takes the first file of its role that no living process holds (`score-0.json`), and goes on
from the values in it: counts never run backwards, and however often a process is started again, there are as many
files as there were processes at once. What was counted in the last second before a SIGKILL is lost.
"""

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from worker.metrics.samples import Samples, add, counted_here, decode, encode, lasts

WRITE_SECONDS = 1.0
SIGN_OF_LIFE_SECONDS = 10.0
MOST_PROCESSES = 1000  # of one role at once, in one folder
_STOP_SECONDS = 2.0

_log = structlog.get_logger()


@dataclass(eq=False)
class Recorder:
    """Writes what this process counts for as long as it lives; of a folder that cannot be written it tells once.

    Attributes:
        folder: of the metrics of this host.
        role: what the process does, as a file name: `score`.
    """

    folder: Path
    role: str
    _file: Path | None = None
    _lock: int | None = None
    _before: Samples = field(default_factory=dict)
    _written: str = ""
    _written_at: float = 0.0
    _fault: str | None = None
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Write from now on, in a thread that ends with the process."""
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write for the last time and let the file go; a disk that hangs is not waited for."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._end.wait(WRITE_SECONDS):
            self.write()
        self.write()
        self.close()

    def close(self) -> None:
        """Let the file go, for the next process of the role."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write(self) -> None:
        """Write once, if there is anything new; never raises for what the disk does."""
        try:
            self._write()
        except OSError as error:
            self._complain(f"{type(error).__name__}: {error.strerror}")
        else:
            if self._fault is not None:
                _log.info("metrics-written-again", folder=str(self.folder))
            self._fault = None

    def _write(self) -> None:
        if self._file is None or not self._holds(self._file):
            self.close()
            self._file, self._written = self._take_file(), ""
        samples = dict(self._before)
        add(samples, counted_here())
        text, now = encode(samples), time.monotonic()
        if text != self._written:
            _replace(self._file, text)
        elif now - self._written_at > SIGN_OF_LIFE_SECONDS:
            os.utime(self._file)
        else:
            return
        self._written, self._written_at = text, now

    def _holds(self, file: Path) -> bool:
        """Whether others see the lock: once its file, or the folder, was deleted, the next process takes the name."""
        if self._lock is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._lock), file.with_suffix(".lock").stat())
        except FileNotFoundError:
            return False

    def _take_file(self) -> Path:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(MOST_PROCESSES):
            file = self.folder / f"{self.role}-{number}.json"
            lock = os.open(file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel frees it however this process ends
            except BlockingIOError:
                os.close(lock)
                continue
            except OSError:
                os.close(lock)
                raise
            self._before, self._lock = self._before if file == self._file else _kept(file), lock
            return file
        raise FileExistsError(None, f"{MOST_PROCESSES} processes hold a file of the role {self.role} already")

    def _complain(self, fault: str) -> None:
        if fault != self._fault:  # once, not every second
            _log.warning(
                "metrics-not-written",
                folder=str(self.folder),
                error=fault,
                hint="screening goes on; free the disk, or set metrics.folder to another one",
            )
        self._fault = fault


@contextlib.contextmanager
def recording(folder: Path, role: str) -> Iterator[None]:
    """Write what this process counts until the block ends."""
    recorder = Recorder(folder, role)
    recorder.start()
    try:
        yield
    finally:
        recorder.stop()


def _kept(file: Path) -> Samples:
    try:
        samples = decode(file.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:  # cut short by a power failure: Prometheus takes it for a start from zero
        _log.warning("metrics-file-damaged", file=file.name)
        return {}
    return {key: value for key, value in samples.items() if lasts(key[0])}


def _replace(file: Path, text: str) -> None:
    aside = file.with_suffix(".tmp")
    try:
        aside.write_text(text)
        aside.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
