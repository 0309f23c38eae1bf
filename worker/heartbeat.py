"""Signs of life: a file that a process touches after each piece of work, read by `cxr-triage doctor --only`.

The time of the file is the monotonic clock of its host: nobody sets that, every process there reads the same one, and a
time can be noted on a full disk.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

LONGEST_IDLE_SECONDS = 10.0
CLOCK_GRAIN_SECONDS = 2.0  # by which a file system may round times up
CHANCES = 12  # wake-ups per lease: on many hosts each worker gets one of them all the same

_own: list[Path] = []  # of this process, which has one life
_log = structlog.get_logger()


def begin(folder: Path, roles: Sequence[str], node: str) -> None:
    """Let this process give signs of life from now on.

    Args:
        folder: where; made if it is not there.
        roles: what the process does, such as the queues that it consumes.
        node: its name among the processes of this role, ending in `@` and the host's name.
    """
    _own[:] = [folder / f"{role}.{node}" for role in roles]


def beat() -> None:
    """Note that this process has just done something; a fault is logged and holds up nothing."""
    now = time.monotonic()
    for path in _own:
        try:
            if not path.exists():
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                path.touch(mode=0o600)
            os.utime(path, (now, now))
        except OSError as error:
            _log.warning("heartbeat-not-noted", path=str(path), error=error.strerror)


def end() -> None:
    """Take the files away, as this process ends in good order."""
    for path in _own:
        path.unlink(missing_ok=True)
    _own.clear()


def keep_awake(wake: Callable[[str], None], queues: Sequence[str], lease_seconds: float) -> None:
    """Wake the queues of this process whenever it has long done nothing, from a thread that ends with it.

    An idle worker so proves itself over the broker, as a busy one does; with many on a queue each gets its share.
    """
    idle = min(LONGEST_IDLE_SECONDS, lease_seconds / CHANCES)

    def run() -> None:
        while True:
            time.sleep(idle)
            if any(_age(path) > idle for path in list(_own)):
                for queue in queues:
                    wake(queue)

    threading.Thread(target=run, name="keep-awake", daemon=True).start()


def ages(folder: Path, role: str) -> dict[str, float]:
    """Return how long ago each process of a role on this host has done something, seconds, by its name.

    The monotonic clock begins anew with the host: what lies ahead of it is of a process that ended with the last start,
    and no sign of life.
    """
    files = sorted(folder.glob(f"{role}.*@{socket.gethostname()}"))
    found = {path.name.removeprefix(f"{role}."): _age(path) for path in files}
    return {node: age for node, age in found.items() if age >= -CLOCK_GRAIN_SECONDS}


def _age(path: Path) -> float:
    try:
        return time.monotonic() - path.stat().st_mtime
    except FileNotFoundError:  # it has just ended
        return 0.0
