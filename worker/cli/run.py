"""`serve`, `listen` and `migrate`: the long-running commands and what they need first."""

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from worker.champion import put_shipped_model_in_place
from worker.cli.common import ConfigOption, one_line_errors, stop_on_signals
from worker.db import Database
from worker.errors import ConfigurationError
from worker.observability import configure_logging
from worker.private_files import keep_files_private
from worker.queues import TRAIN, Queue
from worker.schema import migrate as migrate_schema
from worker.service import utc_now
from worker.settings import Settings, load_settings
from worker.supervisor import Child, Supervisor

DELIVER_THREADS = 8


def serve(config: ConfigOption = None) -> None:
    """Run everything on this machine until stopped: listener, workers and beat."""
    stop = stop_on_signals()
    with one_line_errors():
        settings = load_settings(config)
        configure_logging(settings)
        _make_data_dir(settings)
        with _only_one(settings):
            _prepare_database(settings)
            Supervisor(_children(settings)).run(stop)


def listen(config: ConfigOption = None) -> None:
    """Run the DICOM listener alone."""
    from worker.listener import listen as run_listener

    stop = stop_on_signals()
    with one_line_errors():
        settings = load_settings(config)
        configure_logging(settings)
        run_listener(settings, stop)


def migrate(config: ConfigOption = None) -> None:
    """Bring the database to the level of this version, and put its model in service."""
    with one_line_errors():
        settings = load_settings(config)
        configure_logging(settings)
        _make_data_dir(settings)
        _prepare_database(settings)


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    with (settings.data_dir / "serve.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel frees it however this process ends
        except BlockingIOError:
            raise ConfigurationError(f"data_dir: another `serve` runs on {settings.data_dir}: stop that one") from None
        yield


def _make_data_dir(settings: Settings) -> None:
    keep_files_private()
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"data_dir: cannot make the folder {settings.data_dir}: {error.strerror}") from error


def _prepare_database(settings: Settings) -> None:
    database = Database(settings.effective_database_url)
    migrate_schema(database)
    put_shipped_model_in_place(database, utc_now())
    database.dispose()


def _children(settings: Settings) -> tuple[Child, ...]:
    train = (Child("train", _worker(TRAIN, "solo", 1)),) if settings.retraining.at else ()
    return (
        Child("listener", (sys.executable, "-m", "worker.cli", "listen")),
        Child("prepare", _worker(Queue.PREPARE, "prefork", settings.prepare_processes)),
        Child("score", (*_SHARE_THE_CORES, *_worker(Queue.SCORE, "solo", 1))),
        Child("deliver", _worker(Queue.DELIVER, "threads", DELIVER_THREADS)),
        Child("beat", (*_CELERY, "beat")),
        *train,
    )


def _worker(queue: str, pool: str, concurrency: int) -> tuple[str, ...]:
    options = ("-Q", queue, "-n", f"{queue}@%h", "--pool", pool, "--concurrency", str(concurrency))
    return (*_CELERY, "worker", *options)


# OpenMP's threads would spin while they wait for each other, and take the cores from decoding.
_SHARE_THE_CORES = ("env", "OMP_WAIT_POLICY=PASSIVE")
_CELERY = (sys.executable, "-m", "celery", "-A", "worker", "--quiet")
