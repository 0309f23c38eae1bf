"""What a worker looks at before it takes its first message."""

import structlog
from sqlalchemy.exc import OperationalError

from worker.bootstrap import build_service
from worker.clocks import warn_of_clock
from worker.errors import ConfigurationError
from worker.queues import Wake
from worker.settings import Settings

_log = structlog.get_logger()


def look_around(settings: Settings, wake: Wake) -> None:
    """Look at the database; one that is away is waited for by the tasks themselves.

    Raises:
        SystemExit: if the database is of a level that this version cannot work on: one line, and status 1.
    """
    try:
        service = build_service(settings, wake)
        warn_of_clock(service)
        service.database.dispose()  # a pool's children must not share its connections
    except ConfigurationError as error:
        raise SystemExit(f"cxr-triage: {error}") from error
    except OperationalError as error:
        _log.warning("database-away", error=type(error.orig).__name__)
