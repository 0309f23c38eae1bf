"""The Celery application: `celery -A worker worker -Q prepare|score|deliver|train` and `celery -A worker beat`.

Tasks are known by name; a worker imports only the task modules of the queues it consumes, so that torch is loaded
where `score` is served and nowhere else.
"""

import atexit
import socket
from functools import cache
from importlib import import_module
from typing import Any

import structlog
from celery import Celery, signals
from kombu.exceptions import OperationalError

from worker import heartbeat
from worker.broker import TIMEOUT_SECONDS, broker_settings, takes_messages
from worker.leaving import leave_quickly
from worker.metrics.recorder import Recorder
from worker.observability import configure_logging, name_process
from worker.private_files import keep_files_private
from worker.queues import COMMIT, RECONCILE, RESCREEN, Queue
from worker.schedule import schedule
from worker.settings import Settings, load_settings
from worker.waking import Waker

_POOL_OF_PROCESSES = "celery.concurrency.prefork"  # by name: the listener has no use for importing it

# Modules of tasks that share a queue.
_SHARING: dict[str, tuple[str, ...]] = {Queue.PREPARE: (COMMIT, RECONCILE), Queue.DELIVER: (RESCREEN,)}

_log = structlog.get_logger()


@cache
def process_settings() -> Settings:
    """Return the settings of this process, read when first asked for.

    Raises:
        ConfigurationError: if they are wrong.
    """
    return load_settings()


def celery_settings() -> dict[str, Any]:
    """Return Celery's configuration; JSON only, no results, no remote control."""
    settings = process_settings()
    keep_files_private()
    return {
        **broker_settings(settings),
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "task_ignore_result": True,
        "task_default_queue": Queue.DELIVER.value,
        "task_create_missing_queues": False,
        "worker_consumer": "worker.consumer:QuietConsumer",
        "worker_prefetch_multiplier": 1,
        "worker_enable_remote_control": False,
        "worker_hijack_root_logger": False,
        "worker_timer_precision": 0.1,  # a worker that is told to stop waits for its timer, by default up to 1 s
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "beat_scheduler": "worker.beat:SteadyScheduler",  # the default keeps its state in a pickle
        "beat_max_loop_interval": settings.sweep_seconds,
        "beat_schedule": schedule(settings),
    }


app = Celery("cxr-triage", set_as_current=True)
app.add_defaults(celery_settings)
wake = Waker(app)


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _configure_logging(**_kwargs: Any) -> None:
    configure_logging(process_settings())


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def _import_consumed_tasks(sender: Any, **_kwargs: Any) -> None:
    name_process(_role(sender.app))
    leave_quickly()
    for queue in sender.app.amqp.queues.consume_from:
        try:
            for module in (queue, *_SHARING.get(queue, ())):
                import_module(f"worker.tasks.{module}")
        except ImportError as error:  # Celery would only log it, and a worker without tasks discards every wake-up
            raise SystemExit(f"queue {queue}: {error}: install cxr-triage[{queue}] on this host") from error
    import_module("worker.tasks.starting").look_around(process_settings(), wake)


def _role(celery: Celery) -> str:
    return "+".join(sorted(celery.amqp.queues.consume_from))


@cache  # the solo pool says both that a process begins and that the worker is ready
def _record(role: str) -> None:
    recorder = Recorder(process_settings().metrics_dir, role)
    recorder.start()
    atexit.register(recorder.stop)
    signals.worker_process_shutdown.connect(lambda **_: recorder.stop(), weak=False)  # which knows no atexit


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
def _count_in_this_process(sender: Any, **_kwargs: Any) -> None:
    # Not in the master of a pool of processes: it does no work, and a lock that a thread of its own held at the moment
    # of a fork would be held for ever in the child.
    if type(sender.pool).__module__ != _POOL_OF_PROCESSES:
        _record(_role(sender.app))


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]
def _count_in_a_child(**_kwargs: Any) -> None:
    _record(_role(app))


@signals.beat_init.connect  # type: ignore[untyped-decorator]
def _count_in_beat(**_kwargs: Any) -> None:
    name_process("beat")
    leave_quickly()
    _record("beat")


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
def _look_for_work(sender: Any, **_kwargs: Any) -> None:
    """Find what waited while no worker was there; it also loads the model before the first study comes."""
    heartbeat.beat()
    queues = _consumed(sender)
    for queue in queues:
        wake(queue)
    if queues:
        heartbeat.keep_awake(wake, queues, process_settings().lease_seconds)


def _consumed(worker: Any) -> list[str]:
    return [queue.value for queue in Queue if queue in worker.app.amqp.queues.consume_from]


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def _prepare_heartbeat(sender: Any, **_kwargs: Any) -> None:
    heartbeat.begin(process_settings().effective_health_dir, _consumed(sender), sender.hostname)


@signals.beat_init.connect  # type: ignore[untyped-decorator]
def _begin_heartbeat(**_kwargs: Any) -> None:
    heartbeat.begin(process_settings().effective_health_dir, ["beat"], f"beat@{socket.gethostname()}")
    heartbeat.beat()


@signals.task_postrun.connect  # type: ignore[untyped-decorator]
def _beat(**_kwargs: Any) -> None:
    heartbeat.beat()


@signals.worker_shutdown.connect  # type: ignore[untyped-decorator]
def _end_heartbeat(**_kwargs: Any) -> None:
    heartbeat.end()


def broker_answers() -> bool:
    """Tell whether the broker can be reached from here, lets us in, and takes messages."""
    with app.connection_for_write() as connection:
        try:
            connection.ensure_connection(max_retries=1, timeout=TIMEOUT_SECONDS)
            return takes_messages(connection)
        except (OperationalError, OSError, *connection.connection_errors, *connection.channel_errors):
            return False
