"""How times, sizes and reasons are written on the page."""

from datetime import UTC, datetime, timedelta

import pytest

from dicom_io.reasons import Reason
from worker.repository.page_query import Show, WorklistQuery
from worker.web.pages import meaning, query, size, waiting

NOW = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3900, "1 h 05"), (172_800, "2 d")],
)
def test_a_wait_has_two_figures_at_most(seconds: int, text: str) -> None:
    """A clock that is ahead of ours makes no negative wait."""
    assert waiting(NOW - timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 MB"), (8e8, "800 MB"), (1.25e9, "1.2 GB"), (31e9, "31 GB"), (2e12, "2.0 TB")]
)
def test_a_size_is_said_as_people_do(count: float, text: str) -> None:
    """Megabytes to terabytes, one decimal below ten."""
    assert size(int(count)) == text


def test_a_reason_is_explained() -> None:
    """By its sentence; a code of another release stands for itself."""
    assert meaning("overdue") == Reason.OVERDUE.meaning
    assert meaning("of-tomorrow") == "of-tomorrow"


def test_an_address_says_only_what_differs() -> None:
    """The defaults are left out, and what a person typed is quoted."""
    assert query(WorklistQuery()) == ""
    assert query(WorklistQuery(show=Show.ALL, text="a&b", page=2)) == "show=all&text=a%26b&page=2"
