"""Logs: one event per line, UIDs and codes as keys, never a patient's name or birth date."""

import logging
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from typing import Any

import structlog
from pydicom import config
from structlog.contextvars import bind_contextvars, bound_contextvars, unbind_contextvars

from worker.settings import Settings

# Chatty libraries whose lines we replace by our own, or that print what peers send.
_QUIET = {
    "alembic": logging.WARNING,
    "highdicom": logging.WARNING,
    "pynetdicom": logging.CRITICAL,  # tracebacks for whatever a peer sends; the door says one line of its own
    "pydicom": logging.ERROR,
    "urllib3": logging.ERROR,  # whole URLs, which may hold a token
    "dicomweb_client": logging.WARNING,
    "celery.app.trace": logging.WARNING,
    "celery.beat": logging.WARNING,
    "celery.worker.strategy": logging.WARNING,
}


# What every JSON line says of the process that writes it.
_PROCESS = {"hostname": socket.gethostname(), "release": version("cxr-triage")}


def name_process(role: str) -> None:
    """Say in every JSON line from now on what this process does: `score`."""
    _PROCESS["role"] = role


@contextmanager
def about_study(study_instance_uid: str | None) -> Iterator[None]:
    """Let every line of this thread name the study whose work the block is.

    After an exception it stays named, as whoever logs that does so outside of the block; `end_study` ends it.
    """
    bind_contextvars(study_instance_uid=study_instance_uid)
    yield
    end_study()


def about_studies(study_instance_uids: Iterable[str]) -> AbstractContextManager[Any]:
    """Let every line of the block name the study, or the studies of a batch as `study_instance_uids`."""
    uids = list(dict.fromkeys(study_instance_uids))
    one = {"study_instance_uid": uids[0]} if len(uids) == 1 else {"study_instance_uids": uids}
    return bound_contextvars(**one)


def end_study() -> None:
    """Let no further line of this thread name a study."""
    unbind_contextvars("study_instance_uid")


def configure_logging(settings: Settings) -> None:
    """Send structlog's and the standard library's lines to standard error, as JSON or for people."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level)),
        cache_logger_on_first_use=True,
    )
    _configure_standard_library(settings, shared)
    # Its complaints about a value are warnings that print the value.
    config.settings.reading_validation_mode = config.IGNORE


def _configure_standard_library(settings: Settings, shared: list[Any]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[_strip, *_rendering(settings)])
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)


def _rendering(settings: Settings) -> list[Any]:
    if settings.log_json:
        return [_add_process, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # Plain tracebacks: the rich ones print local variables, and so what a header says of a patient.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]


def _add_process(_logger: Any, _method: str, event: Any) -> Any:
    return {**event, **_PROCESS}


def _strip(logger: Any, method: str, event: Any) -> Any:
    return structlog.stdlib.ProcessorFormatter.remove_processors_meta(logger, method, event)
