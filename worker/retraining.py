"""Running `cxr-train refresh` on this host: one at a time, at the lowest priority, its output in the log."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import structlog

from worker.errors import ConfigurationError
from worker.model.artifact import default_directory
from worker.sections import RetrainingSettings

LOCK_NAME = "refresh.lock"
CXR_TRAIN = Path(sys.executable).with_name("cxr-train")

_log = structlog.get_logger()


def refresh(settings: RetrainingSettings, champion: Path) -> bool:
    """Train on from the model in service and judge what comes of it; never promotes.

    Args:
        settings: what to train on, and where to write.
        champion: version directory of the model in service.

    Returns:
        Whether it ran to its end; False if it failed or another one runs, which the log tells.

    Raises:
        ConfigurationError: if the settings name no films, or this host cannot train.
    """
    words = refresh_command(settings, champion)
    output = _required(settings, "output")
    output.mkdir(parents=True, exist_ok=True)
    with _only_one(output) as lock:
        if lock is None:
            _log.warning("refresh-runs-already", output=str(output))
            return False
        return _run(words, lock)


def refresh_command(settings: RetrainingSettings, champion: Path) -> list[str]:
    """Return the command line that trains on from a version directory.

    Raises:
        ConfigurationError: if the settings name no films, or this host cannot train.
    """
    if not CXR_TRAIN.is_file():
        raise ConfigurationError(f"{CXR_TRAIN} is not there: install cxr-triage[train] on this host")
    names = ("data", "old", "locked", "output")
    words = [word for name in names for word in (f"--{name}", str(_required(settings, name)))]
    if champion != default_directory():  # which is where it begins by itself
        words += ["--champion", str(champion)]
    if settings.site is not None:
        words += ["--site", settings.site]
    return ["nice", "-n", "19", str(CXR_TRAIN), "refresh", *words]


def _required(settings: RetrainingSettings, name: str) -> Path:
    path: Path | None = getattr(settings, name)
    if path is None:
        raise ConfigurationError(f"retraining.{name}: not set")
    return path


@contextmanager
def _only_one(output: Path) -> Iterator[IO[bytes] | None]:
    with (output / LOCK_NAME).open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield lock


def _run(command: list[str], lock: IO[bytes]) -> bool:
    _log.info("refresh-started", command=command)
    # The child holds the lock as well: it may outlive a worker that is killed.
    with subprocess.Popen(  # noqa: S603 - our own command
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},  # else its lines come at the end
        pass_fds=(lock.fileno(),),
    ) as training:
        for line in training.stdout or ():
            if said := line.decode("utf-8", "replace").rstrip():
                _log.info("refresh", said=said)
    if training.returncode:
        _log.error("refresh-failed", code=training.returncode)
        return False
    _log.info("refresh-done", next="look at the report, then `cxr-triage models promote`")
    return True
