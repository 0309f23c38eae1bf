"""Prepared images by month: those to come get their table in time, and old ones go as a whole.

None of it is needed for the service to work. Without a table of its own a month goes into the table for such months,
and what cannot be dropped is deleted row by row.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial

import structlog
from psycopg import errors
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from worker.repository.prepared_months import has_strays, make_months
from worker.repository.prepared_retention import drop_month, old_months
from worker.service import Service

# The database's user owns no tables; somebody reads for long; another process was faster.
_LEFT_TO_THE_NEXT_RUN = (errors.InsufficientPrivilege, errors.LockNotAvailable, errors.CheckViolation)
_FASTER = (errors.UndefinedTable, errors.DuplicateTable)
_NO_OWNER = "only the user that ran `cxr-triage migrate` may change tables: give the service the same one"

_log = structlog.get_logger()


def forget_months(service: Service, before: datetime, time_is_left: Callable[[], bool] = lambda: True) -> int:
    """Make the months to come, and drop those that are over since `before`, one after the other.

    Readers of the tables are waited for once, and no longer than `take_alone` does: then all of it is left to the next
    run, since whoever reads or writes meanwhile waits behind us.

    Args:
        service: its database and clock.
        before: time up to which months are old.
        time_is_left: asked before each month; the rest is left to the next run.

    Returns:
        How many images are gone.
    """
    now = service.now()
    with service.database.read() as session:
        months = old_months(session, before=before)
    gone = [_attempt(service, partial(_make, now=now))]
    for month in months:
        if gone[-1] is None or not time_is_left():
            break
        gone.append(_attempt(service, partial(drop_month, month=month, now=now)))
    with service.database.read() as session:
        if has_strays(session, now):
            _log.warning("prepared-images-without-a-month", advice="let `cxr-triage purge` run at least once a month")
    return sum(count or 0 for count in gone)


def _make(session: Session, now: datetime) -> int:
    for name in make_months(session, now):
        _log.info("prepared-images-month-made", table=name)
    return 0


def _attempt(service: Service, change: Callable[[Session], int]) -> int | None:
    """Make a change of the tables; returns how many images are gone, None if somebody holds the tables."""
    try:
        with service.database.begin() as session:
            return change(session)
    except DBAPIError as error:
        if isinstance(error.orig, _FASTER):
            return 0
        if not isinstance(error.orig, _LEFT_TO_THE_NEXT_RUN):
            raise
        advice = _NO_OWNER if isinstance(error.orig, errors.InsufficientPrivilege) else "the next purge tries again"
        _log.warning("prepared-images-month-left", error=type(error.orig).__name__, advice=advice)
        return None if isinstance(error.orig, errors.LockNotAvailable) else 0
