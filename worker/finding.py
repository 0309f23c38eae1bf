"""What the doctor says of one thing that was tried."""

from collections.abc import Callable
from dataclasses import dataclass

from dicom_io.errors import DicomIoError
from worker.errors import TriageError


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried.

    Attributes:
        name: what.
        answer: what came of it, in a few words.
        problem: what is wrong now and what to do; such a service is not well.
        warning: what would do harm under other circumstances and what to do; the service is well nevertheless.
    """

    name: str
    answer: str
    problem: str | None = None
    warning: str | None = None


class NotWellError(TriageError):
    """The service did not answer as it must."""


class DoubtfulError(TriageError):
    """It works, and under some circumstances it would not."""


def attempt(name: str, ask: Callable[[], str]) -> Finding:
    """Try one thing, and return what came of it."""
    try:
        return Finding(name, ask())
    except DoubtfulError as doubt:
        return Finding(name, "doubtful", warning=str(doubt))
    except (TriageError, DicomIoError) as error:
        return Finding(name, "not well", problem=str(error))
