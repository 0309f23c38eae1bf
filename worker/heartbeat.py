"""Signs of life: a file that a process touches after each piece of work, read by `cxr-triage doctor --only`.

The time of the file is the monotonic clock of its host: nobody sets that, every process there reads the same one, and a
time can be noted on a full disk. A process holds a lock on its file, which the kernel frees however it ends: a file
that nobody holds is of a process that is gone, and is forgotten in the end.
"""

import fcntl
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

FORGOTTEN_AFTER_SECONDS = 3600.0  # a process that was killed and not started again is missed for as long
_LOCKED = 1  # length of a file that is locked while its process lives; versions before made empty ones

_own: list[Path] = []  # of this process, which has one life
_locks: dict[Path, int] = {}  # their descriptors
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
            if not _holds(path):
                _take(path)
            os.utime(path, (now, now))
        except OSError as error:
            _log.warning("heartbeat-not-noted", path=str(path), error=error.strerror)


def end() -> None:
    """Take the files away, as this process ends in good order."""
    for path in _own:
        path.unlink(missing_ok=True)
        _let_go(path)
    _own.clear()


def _holds(path: Path) -> bool:
    """Whether others see our lock: the file may have been deleted, or made anew."""
    try:
        return path in _locks and os.path.samestat(os.fstat(_locks[path]), path.stat())
    except FileNotFoundError:
        return False


def _take(path: Path) -> None:
    _let_go(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another one of this name, such as the master of a pool, has it; or the file system knows no locks
        os.close(descriptor)
        return
    os.ftruncate(descriptor, _LOCKED)
    _locks[path] = descriptor


def _let_go(path: Path) -> None:
    descriptor = _locks.pop(path, None)
    if descriptor is not None:
        os.close(descriptor)


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
    and no sign of life. The file of such a one, and of one that was killed `FORGOTTEN_AFTER_SECONDS` ago, is deleted.
    """
    files = sorted(folder.glob(f"{role}.*@{socket.gethostname()}"))
    found = {path: _age(path) for path in files}
    for path, age in found.items():
        if not -CLOCK_GRAIN_SECONDS <= age <= FORGOTTEN_AFTER_SECONDS:
            _forget(path)
    alive = {path: age for path, age in found.items() if age >= -CLOCK_GRAIN_SECONDS and path.exists()}
    return {path.name.removeprefix(f"{role}."): age for path, age in alive.items()}


def _forget(path: Path) -> None:
    """Delete the file of a process that is gone; one that cannot be proven to be is left alone."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:  # another account's, or just deleted
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # whoever has it lives, if only just
        mine = os.fstat(descriptor)
        if mine.st_size == _LOCKED and os.path.samestat(mine, path.stat()):
            path.unlink()
            _log.info("heartbeat-forgotten", path=path.name)
    except OSError:
        return
    finally:
        os.close(descriptor)


def _age(path: Path) -> float:
    try:
        return time.monotonic() - path.stat().st_mtime
    except FileNotFoundError:  # it has just ended
        return 0.0
