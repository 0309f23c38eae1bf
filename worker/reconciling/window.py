"""When the nightly run may ask, and which days it asks for. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Self

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Window:
    """A time of day in UTC; one that closes before it opens goes over midnight, one without length is a whole day."""

    opens: time
    closes: time

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `22:00-05:00`; the settings have checked its form."""
        opens, closes = text.split("-")
        return cls(time.fromisoformat(opens), time.fromisoformat(closes))

    def night(self, now: datetime) -> date | None:
        """Return the UTC date on which the window that `now` lies in opened, or None outside of it."""
        utc = now.astimezone(UTC)
        today, at = utc.date(), utc.time()
        if self.opens < self.closes:
            return today if self.opens <= at < self.closes else None
        if at >= self.opens:
            return today
        return today - _DAY if at < self.closes else None


def days_of(night: date, days: int) -> tuple[date, ...]:
    """Return the Study Dates that a night asks for, the newest first: `days` of them, and one before and one after.

    A Study Date is in the PACS's own local time, which the DICOM query does not tell: an evening in UTC is the next
    day's morning in Tokyo and the same day's noon in Los Angeles. The day before also brings what was made after the
    run of the night before had ended.
    """
    return tuple(night + _DAY - number * _DAY for number in range(days + 2))
