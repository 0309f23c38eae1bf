"""When the night is, which days it asks for, and what its outcomes add up to."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from worker.reconciling.outcome import StudyOutcome, report
from worker.reconciling.window import Window, days_of

FRIDAY = date(2026, 11, 20)


def _at(text: str, day: int = 20) -> datetime:
    hour, minute = text.split(":")
    return datetime(2026, 11, day, int(hour), int(minute), tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "now", "night"),
    [
        ("22:00-05:00", _at("21:59"), None),
        ("22:00-05:00", _at("22:00"), FRIDAY),
        ("22:00-05:00", _at("23:59"), FRIDAY),
        ("22:00-05:00", _at("00:00", 21), FRIDAY),
        ("22:00-05:00", _at("04:59", 21), FRIDAY),
        ("22:00-05:00", _at("05:00", 21), None),
        ("01:00-05:00", _at("00:59"), None),
        ("01:00-05:00", _at("01:00"), FRIDAY),
        ("01:00-05:00", _at("05:00"), None),
        ("06:00-06:00", _at("06:00"), FRIDAY),
        ("06:00-06:00", _at("05:59", 21), FRIDAY),
        ("22:00-05:00", datetime(2026, 11, 21, 8, tzinfo=timezone(timedelta(hours=10))), FRIDAY),
    ],
)
def test_a_night_is_called_after_the_day_its_window_opened(window: str, now: datetime, night: date | None) -> None:
    """Over midnight it is one night, in UTC whatever the clock's zone; outside of the window there is none."""
    assert Window.parse(window).night(now) == night


def test_a_day_more_is_asked_for_on_either_side() -> None:
    """A Study Date is local time: wherever the PACS stands, the UTC day lies within the days asked for."""
    assert days_of(FRIDAY, 1) == (date(2026, 11, 21), FRIDAY, date(2026, 11, 19))
    assert days_of(FRIDAY, 3)[-1] == date(2026, 11, 17)
    for hours in range(-12, 15):
        for hour in range(24):
            local = _at(f"{hour}:00").astimezone(timezone(timedelta(hours=hours)))
            assert local.date() in days_of(FRIDAY, 1)


def _outcome(uid: str, **values: object) -> StudyOutcome:
    return StudyOutcome.model_validate({"study_instance_uid": uid, **values})


def test_a_report_adds_up() -> None:
    """A study without a radiograph is no study of ours; one that could not be asked for is unfinished."""
    outcomes = [
        _outcome("1", images=3, here=1, fetched=2),
        _outcome("2"),
        _outcome("3", images=2, missing=2, refused=1, reason="0xB000"),
        _outcome("4", reason="the PACS gave no answer"),
        _outcome("5", images=1, here=1),
    ]
    said = report("PACS", [FRIDAY], outcomes)
    assert (said.studies, said.images, said.here, said.fetched, said.missing, said.refused) == (4, 6, 2, 2, 2, 1)
    assert said.unfinished == 2
    assert [outcome.study_instance_uid for outcome in said.details] == ["1", "3", "4"]
    assert not said.is_whole
    assert report("PACS", [FRIDAY], outcomes[:2]).is_whole


@pytest.mark.parametrize("fault", [{"limited": True}, {"unnamed": 1}])
def test_a_list_with_gaps_is_not_whole(fault: dict[str, int]) -> None:
    """What a PACS did not name may be missing, too."""
    assert not report("PACS", [FRIDAY], [], **fault).is_whole  # type: ignore[arg-type]


def test_a_second_try_counts_what_the_first_one_fetched() -> None:
    """Images that came at the first try are here at the second, and were fetched all the same."""
    first = _outcome("1", images=3, here=1, fetched=1, missing=1, refused=1, reason="broke off", again=True)
    second = _outcome("1", images=3, here=2, fetched=1).after(first)
    assert (second.here, second.fetched, second.missing, second.refused, second.tries) == (1, 2, 0, 1, 2)
    assert not second.is_open
