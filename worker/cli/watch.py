"""`cxr-triage screen --watch`: what comes to lie in a folder is screened, until somebody ends it."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dicom_io.reasons import Reason
from worker.cli.outputs import Destinations, Write
from worker.errors import ConfigurationError
from worker.screening.ahead import InterruptedRunError
from worker.screening.watching import Resting, Watch

if TYPE_CHECKING:
    from worker.screening.record import Record
    from worker.screening.run import Screener
    from worker.screening.saying import ScreenedFile

LOOK_EVERY_SECONDS = 0.25
# Looking at a large folder on a share costs its server; at most one part of the time in this many goes to it.
_REST_PER_LOOK = 4
# Then the folder is looked at again, so that what is new does not wait for a heap that lay there before.
_FILES_PER_LOOK = 128


def require_apart(folder: Path, to: Destinations) -> None:
    """Make sure that a folder can be watched.

    Raises:
        ConfigurationError: if an output lies in it, which would be taken for a film, or if it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"--watch: {folder} is no folder")
    inside = [path for path in to.paths if path.is_relative_to(folder.resolve())]
    if inside:
        raise ConfigurationError(f"{inside[0]} lies in the folder that is watched; write somewhere else")


def watch_folder(folder: Path, screener: "Screener", record: "Record", outputs: list[Write]) -> None:
    """Screen what stands still in a folder, each content once; returns when the screener's `stop` is set.

    Args:
        folder: see `require_apart`; while it is away, as when its share is unmounted, it is waited for.
        screener: what screens; its `stop` ends the watch.
        record: what was said already; what is said now is added.
        outputs: what writes.
    """
    watch, away = Watch(folder), False
    _tell(f"watching {folder}; Ctrl-C ends it")
    while not screener.stop.is_set():
        began = time.monotonic()
        try:
            resting, was_away, away = watch.look(), away, False
        except OSError as error:
            if not away:
                _tell(f"{folder} cannot be looked into ({error.strerror}); waiting for it")
            resting, was_away, away = [], False, True
        if was_away:
            _tell(f"{folder} is there again")
        rest = max(LOOK_EVERY_SECONDS, _REST_PER_LOOK * (time.monotonic() - began))
        if not _screen(watch, resting, screener, record, outputs):
            screener.stop.wait(rest)


def _screen(watch: Watch, resting: list[Resting], screener: "Screener", record: "Record", outputs: list[Write]) -> bool:
    """Screen some of the files; returns whether there were any."""
    new = [file for file in resting if not _left_out(watch, file, record)][:_FILES_PER_LOOK]
    try:
        for screened in screener.screen([file.path for file in new], record):
            if _is_gone(screened):
                continue
            for write in outputs:
                write(screened)
            record.note(str(screened.path), screened.flag)
    except InterruptedRunError:
        return False
    for file in new:
        watch.take(file)
    return bool(new)


def _left_out(watch: Watch, file: Resting, record: "Record") -> bool:
    settled = record.settles(file.path, file.changed_at)
    if settled:
        watch.take(file)
    return settled


def _is_gone(screened: "ScreenedFile") -> bool:
    # Its share went away between the look and the reading: it has its line when it is back.
    return screened.flag.reason is Reason.UNREADABLE_FILE and not os.path.exists(screened.path)  # noqa: PTH110 - never raises


def _tell(message: str) -> None:
    print(f"cxr-triage: {message}", file=sys.stderr, flush=True)  # noqa: T201
