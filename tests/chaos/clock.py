"""A clock of the service's own that can be set while it runs (libfaketime)."""

from dataclasses import dataclass
from pathlib import Path

from tests.servers.programs import require_program

_CACHE_SECONDS = 1  # a process looks this often at how the clock is set

# libfaketime 0.9.10 fails clock_nanosleep(CLOCK_MONOTONIC), which Python sleeps with, when it is to leave that clock alone.
_SLEEP_OTHERWISE = """
import select
import time
time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""


@dataclass(frozen=True)
class SteppedClock:
    """The wall clock of processes that run in `environment`; monotonic clocks are left alone.

    Attributes:
        folder: of its own.
    """

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a Python process needs in its environment to live by this clock."""
        require_program("faketime", "faketime")
        (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
        (self.folder / "sitecustomize.py").write_text(_SLEEP_OTHERWISE)
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": str(_CACHE_SECONDS),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
            "PYTHONPATH": str(self.folder),
        }

    def set_back(self, seconds: int) -> None:
        """Let the clock be behind the true one by so many seconds, in all processes within a second."""
        new = self._file.with_suffix(".new")
        new.write_text(f"-{seconds}\n" if seconds else "+0\n")
        new.replace(self._file)

    @property
    def _file(self) -> Path:
        return self.folder / "clock"
