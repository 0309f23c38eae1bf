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


def forget_months(service: Service, before: datetime) -> int:
    """Make the months to come, and drop those that are over since `before`; returns how many images are gone."""
    now = service.now()
    with service.database.read() as session:
        months = old_months(session, before=before)
    _attempt(service, partial(_make, now=now))
    gone = sum(_attempt(service, partial(drop_month, month=month, now=now)) for month in months)
    with service.database.read() as session:
        if has_strays(session, now):
            _log.warning("prepared-images-without-a-month", advice="let `cxr-triage purge` run at least once a month")
    return gone


def _make(session: Session, now: datetime) -> int:
    for name in make_months(session, now):
        _log.info("prepared-images-month-made", table=name)
    return 0


def _attempt(service: Service, change: Callable[[Session], int]) -> int:
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
        return 0
