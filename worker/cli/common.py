"""What the commands share: the options, and errors told in one line."""

import _thread
import getpass
import json
import os
import platform
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from psycopg.errors import InsufficientPrivilege
from pydantic import BaseModel
from rich.console import Console
from sqlalchemy.exc import OperationalError, ProgrammingError

from dicom_io.errors import DicomIoError
from worker.db import Database
from worker.errors import TriageError
from worker.level import forbidden, require_level
from worker.private_files import keep_files_private
from worker.repository.audit import record_command
from worker.service import utc_now
from worker.settings import Settings

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="TOML settings file; also read from CXR_CONFIG.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")]

USAGE_ERROR = 2


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Tell the operator what is wrong in one line on standard error, and exit with 2; bugs keep their traceback."""
    try:
        yield
    except (TriageError, DicomIoError) as error:
        message = str(error)
    except OperationalError as error:
        message = f"database: {_cause(error)}: {_advice(error)}"
    except ProgrammingError as error:
        if not isinstance(error.orig, InsufficientPrivilege):
            raise
        message = forbidden(error.orig)
    except OSError as error:  # a disk that fills, a folder that vanishes
        message = f"{error.filename or 'output'}: {error.strerror}"
    else:
        return
    Console(stderr=True).print(f"cxr-triage: {message}", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(USAGE_ERROR)


def _cause(error: OperationalError) -> str:
    # A driver's first line names host and cause, never the password.
    text = str(error.orig).strip()
    return text.splitlines()[0] if text else type(error.orig).__name__


def _advice(error: OperationalError) -> str:
    if "certificate" in str(error.orig):
        return (
            "its certificate must name the host of database_url, and its authority be in the file of sslrootcert there"
        )
    return "check database_url, or data_dir if none is set, and that it is migrated"


@contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    """Open the database of the settings for the length of a command; SQLite may make its files, readable by us only.

    Raises:
        ConfigurationError: if it is of another level.
    """
    keep_files_private()
    database = Database(settings.effective_database_url)
    try:
        require_level(database)
        yield database
    finally:
        database.dispose()


def print_json(value: BaseModel | Sequence[BaseModel]) -> None:
    """Print a value, or a list of them, as one line of JSON."""
    plain = (
        value.model_dump(mode="json") if isinstance(value, BaseModel) else [v.model_dump(mode="json") for v in value]
    )
    typer.echo(json.dumps(plain, ensure_ascii=False))


def operator() -> str:
    """Return who runs this command, as user@host: behind sudo the one who called it."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = str(os.getuid())
    return f"{user}@{platform.node()}"


def note_command(database: Database, command: str, **detail: str | float | None) -> None:
    """Record that a command was run which has changed something in transactions of its own."""
    with database.begin() as session:
        record_command(session, utc_now(), command, operator(), None, **detail)


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    # A handler runs in the main thread, and an event's lock is not re-entrant: a signal that comes just when the main
    # thread begins to wait for the event would wait for that lock for ever. Another thread waits its turn.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _thread.start_new_thread(stop.set, ()))
    return stop
