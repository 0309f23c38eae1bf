"""`serve`, `listen` and `migrate`: the long-running commands and what they need first."""

import fcntl
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from importlib.util import find_spec
from typing import Annotated

import structlog
import typer

from worker.certificates import require_certificates
from worker.cli.common import ConfigOption, note_command, one_line_errors, open_database, stop_on_signals
from worker.db import Database
from worker.errors import ConfigurationError
from worker.level import is_ours_alone, require_level
from worker.observability import configure_logging, name_process
from worker.private_files import keep_files_private
from worker.queues import TRAIN, Queue
from worker.service import utc_now
from worker.settings import Settings, load_settings
from worker.supervisor import Child, Supervisor

DELIVER_THREADS = 8
SPARE_DELIVER_THREADS = 2  # if every destination keeps one waiting: for the sweep, and for what comes back
_log = structlog.get_logger()
_NUMBER = "--number"
_WorkerArgument = Annotated[str, typer.Argument(metavar="QUEUE", help="Queue, with a number where several run here.")]
_NumberOption = Annotated[int | None, typer.Option(_NUMBER, hidden=True)]  # how one of several listeners is started


def serve(config: ConfigOption = None) -> None:
    """Run everything on this machine until stopped: listener, workers, beat and the page."""
    stop = stop_on_signals()
    with one_line_errors():
        settings = load_settings(config)
        configure_logging(settings)
        name_process("serve")
        require_certificates(settings)
        make_data_dir(settings)
        with only_one(settings), _port_of(settings):
            _find_database(settings)
            Supervisor((*_listeners(settings), *_workers(settings))).run(stop)


def listen(config: ConfigOption = None, number: _NumberOption = None) -> None:
    """Run the DICOM listener alone."""
    stop = stop_on_signals()
    with one_line_errors():
        settings = load_settings(config)
        configure_logging(settings)
        name_process("listener")
        if number is not None or settings.listener.processes == 1:
            _listen_here(settings, stop, number)
        else:
            _require_database(settings)
            with _port_of(settings):
                Supervisor(_listeners(settings)).run(stop)


def work(name: _WorkerArgument, config: ConfigOption = None) -> None:
    """Run one worker as `serve` does: prepare, score, deliver or train; several of a queue by number: prepare-2."""
    with one_line_errors():
        command = _work(name, load_settings(config))
    os.execvp(command[0], command)  # noqa: S606 - our own command, and no shell: signals reach Celery itself


def migrate(config: ConfigOption = None) -> None:
    """Bring the database to the level of this version, and put its model in service."""
    with one_line_errors():
        settings = load_settings(config)
        configure_logging(settings)
        make_data_dir(settings)
        _prepare_database(settings)
        with open_database(settings) as database:
            note_command(database, "migrate", version=version("cxr-triage"))


@contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """Hold data_dir against every other `serve` for the length of the block.

    Raises:
        ConfigurationError: if one runs on it.
    """
    with (settings.data_dir / "serve.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel frees it however this process ends
        except BlockingIOError:
            raise ConfigurationError(f"data_dir: another `serve` runs on {settings.data_dir}: stop that one") from None
        yield


def make_data_dir(settings: Settings) -> None:
    """Make the folder if it is missing; files made from now on are readable by us only.

    Raises:
        ConfigurationError: if it cannot be made.
    """
    keep_files_private()
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"data_dir: cannot make the folder {settings.data_dir}: {error.strerror}") from error


def _port_of(settings: Settings) -> AbstractContextManager[None]:
    """Hold the port for several listeners; a single one binds it by itself."""
    if settings.listener.processes == 1:
        return nullcontext()
    from worker.listener import reserve_port

    return reserve_port(settings.listener)


def _listen_here(settings: Settings, stop: threading.Event, number: int | None) -> None:
    from worker.listener import listen as run_listener

    run_listener(settings, stop, number=number)


def _require_database(settings: Settings) -> None:
    """Tell the operator now what every listener process would only die of, again and again."""
    keep_files_private()
    database = Database(settings.effective_database_url)
    require_level(database)
    database.dispose()


def _find_database(settings: Settings) -> None:
    """Migrate a database that nobody else can be working on: an SQLite file, or one without a table.

    Any other may be the work of many hosts, on which somebody is to decide when it is migrated.
    """
    database = Database(settings.effective_database_url)
    try:
        ours = is_ours_alone(database)
        if not ours:
            require_level(database)
    finally:
        database.dispose()
    if ours:
        _prepare_database(settings)


def _prepare_database(settings: Settings) -> None:
    from worker.champion import put_shipped_model_in_place
    from worker.schema import migrate as migrate_schema

    database = Database(settings.effective_database_url)
    migrate_schema(database)
    put_shipped_model_in_place(database, utc_now())
    database.dispose()


def _listeners(settings: Settings) -> tuple[Child, ...]:
    processes = settings.listener.processes
    if processes == 1:
        return (Child("listener", _LISTEN),)
    return tuple(Child(f"listener-{number}", (*_LISTEN, _NUMBER, str(number))) for number in range(processes))


def _workers(settings: Settings) -> tuple[Child, ...]:
    names = (*_preparers(settings), Queue.SCORE, Queue.DELIVER, *((TRAIN,) if settings.retraining.at else ()))
    return (
        *(Child(str(name), _work(name, settings)) for name in names),
        Child("beat", (*_CELERY, "beat")),
        *_exporter(settings),
        *_page(settings),
    )


def _exporter(settings: Settings) -> tuple[Child, ...]:
    return (Child("metrics", _METRICS),) if settings.metrics.port is not None else ()


def _page(settings: Settings) -> tuple[Child, ...]:
    if not settings.web.enabled:
        return ()
    if find_spec("uvicorn") is None:
        _log.warning("page-not-installed", advice="install cxr-triage[web], or set web.enabled = false")
        return ()
    return (Child("web", _PAGE),)


def _preparers(settings: Settings) -> tuple[str, ...]:
    numbers = range(settings.prepare_processes)
    return ("prepare",) if len(numbers) == 1 else tuple(f"prepare-{number}" for number in numbers)


def _work(name: str, settings: Settings) -> tuple[str, ...]:
    queue = name.partition("-")[0]
    if queue == Queue.DELIVER:
        return _worker(queue, "threads", _deliver_threads(settings), name)
    if queue == Queue.SCORE:
        return (*_SHARE_THE_CORES, *_worker(queue, "solo", 1, name))
    if queue in {Queue.PREPARE, TRAIN}:
        # No pool: on a transport without an event loop, such as the embedded one, the children of Celery's prefork pool
        # share a lock, and one that a codec kills while it holds the lock leaves the others waiting for ever.
        return _worker(queue, "solo", 1, name)
    known = ", ".join((*Queue, TRAIN))
    raise ConfigurationError(f"work: no queue {queue}: name one of {known}, or one with a number such as prepare-2")


def _deliver_threads(settings: Settings) -> int:
    return max(DELIVER_THREADS, len(settings.effective_destinations) + SPARE_DELIVER_THREADS)


def _worker(queue: str, pool: str, concurrency: int, name: str) -> tuple[str, ...]:
    options = ("-Q", queue, "-n", f"{name}@%h", "--pool", pool, "--concurrency", str(concurrency))
    return (*_CELERY, "worker", *options)


# OpenMP's threads would spin while they wait for each other, and take the cores from decoding.
_SHARE_THE_CORES = ("env", "OMP_WAIT_POLICY=PASSIVE")
_LISTEN = (sys.executable, "-m", "worker.cli", "listen")
_METRICS = (sys.executable, "-m", "worker.cli", "metrics")
_PAGE = (sys.executable, "-m", "worker.cli", "web")
_CELERY = (sys.executable, "-m", "celery", "-A", "worker", "--quiet")
