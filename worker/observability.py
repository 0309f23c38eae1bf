"""Logs: one event per line, UIDs and codes as keys, never a patient's name or birth date."""

import logging
import sys
from typing import Any

import structlog
from pydicom import config

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
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # Plain tracebacks: the rich ones print local variables, and so what a header says of a patient.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]


def _strip(logger: Any, method: str, event: Any) -> Any:
    return structlog.stdlib.ProcessorFormatter.remove_processors_meta(logger, method, event)
