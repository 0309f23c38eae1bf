"""How far apart the clocks of the hosts are, measured against that of the database server, which all of them know.

Every host writes times of its own clock into rows that others judge by theirs: when a study last received an image,
until when work is claimed. A host that is ahead by `study_quiet_seconds` calls every study complete as soon as it is
received, and one that is ahead by `lease_seconds` takes the work of others while they are at it. One that is behind
does both too late. So a tenth of the shorter of the two is let pass, and the whole of it is an error.
"""

import time
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import text

from worker.db import Database
from worker.service import Clock, Service
from worker.settings import Settings

SHARE = 10  # of the time that the code lets pass between two hosts; two of them are apart by twice as much
LEAST_SECONDS = 1.0  # a host that is kept by NTP is apart by milliseconds; less than this no answer is asked for
_NOW = text("SELECT clock_timestamp()")

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Seconds from which on a difference is told, and from which on it does harm."""

    told: float
    harmful: float

    @classmethod
    def of(cls, settings: Settings) -> "Tolerance":
        """Return what the settings let pass."""
        shortest = min(settings.study_quiet_seconds, settings.lease_seconds)
        return cls(max(shortest / SHARE, LEAST_SECONDS), max(shortest, LEAST_SECONDS))


def seconds_ahead(database: Database, now: Clock) -> float | None:
    """Return by how many seconds this host's clock is ahead of the database server's, negative if it is behind.

    None for SQLite, which has no clock of its own. The way there and back makes it wrong by half of its time at most.

    Raises:
        OperationalError: if the database cannot be reached.
    """
    if database.engine.dialect.name != "postgresql":
        return None
    with database.read() as session:
        session.connection()  # so that connecting does not count
        before, started = now(), time.monotonic()
        there: datetime = session.execute(_NOW).scalar_one()
        way = time.monotonic() - started
    return (before - there).total_seconds() + way / 2


def direction(seconds: float) -> str:
    """Say a difference in words: `12.3 s ahead of`, `0.4 s behind`."""
    return f"{abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'}"


def warn_of_clock(service: Service) -> None:
    """Log that this host's clock is apart from the database server's, if it is.

    Raises:
        OperationalError: if the database cannot be reached.
    """
    ahead = seconds_ahead(service.database, service.now)
    if ahead is not None and abs(ahead) >= Tolerance.of(service.settings).told:
        _log.warning("clock-apart", seconds_ahead_of_database=round(ahead, 1), remedy="keep both by NTP")
