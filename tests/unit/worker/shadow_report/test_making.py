"""The figures of the report, against cases counted by hand."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from tests.shadow_studies import FLAGGED, MODEL, START, UNFLAGGED, UNSCREENED, study
from worker.errors import ReportPeriodError
from worker.repository.shadow import Answer, ReadStudy
from worker.shadow_report.making import DEFAULT_DAYS, period, report_on, week
from worker.shadow_report.views import Group, ShadowReport

END = START + timedelta(weeks=4)
LATER = START + timedelta(weeks=1)
SENT = Answer(flagged=True, screened=True, shadow=False, model="sent 1")


def report(*studies: ReadStudy) -> ShadowReport:
    """The report on these studies."""
    return report_on(studies, START, END, END, shadow=True)


def times(count: int, one: ReadStudy) -> Sequence[ReadStudy]:
    """The study so often."""
    return [one] * count


def by_name(groups: Sequence[Group]) -> dict[str, tuple[int, int, int, int, int, int]]:
    """Studies, judged ones, and the four cells of each group."""
    cells = [(g.rates.tp, g.rates.fp, g.rates.tn, g.rates.fn) for g in groups]
    return {g.name: (g.studies, g.judged, *four) for g, four in zip(groups, cells, strict=True)}


def test_four_cells_make_two_rates() -> None:
    """8 of 10 suspected ones were flagged, 27 of 30 others were not; who was not judged is in neither."""
    found = report(
        *times(8, study(FLAGGED, True)),
        *times(3, study(FLAGGED, False)),
        *times(2, study(UNFLAGGED, True)),
        *times(27, study(UNFLAGGED, False)),
        *times(5, study(UNFLAGGED)),
        *times(4, study(FLAGGED)),
    )
    rates = found.rates
    assert (rates.tp, rates.fp, rates.tn, rates.fn) == (8, 3, 27, 2)
    assert (rates.sensitivity.value, rates.specificity.value) == (0.8, 0.9)
    assert (found.studies.flagged, found.studies.unflagged, found.studies.unscreened) == (15, 34, 0)
    assert (found.judged.flagged, found.judged.unflagged, found.models) == (11, 29, [MODEL])


def test_the_unscreened_are_never_negative() -> None:
    """Judged or not, they are in no rate; beside it the suspected ones of them count as missed."""
    found = report(
        *times(9, study(FLAGGED, True)),
        study(UNFLAGGED, True),
        *times(2, study(UNSCREENED, True)),
        study(None, True),
        study(UNSCREENED, False),
        study(UNSCREENED),
    )
    assert (found.rates.sensitivity.part, found.rates.sensitivity.whole) == (9, 10)
    assert (found.rates.tn, found.rates.specificity.value) == (0, None)
    assert (found.studies.unscreened, found.judged.unscreened, found.unscreened_suspected) == (5, 4, 3)
    assert (found.sensitivity_unscreened_missed.part, found.sensitivity_unscreened_missed.whole) == (9, 13)


def test_a_flagged_study_that_is_not_whole_is_flagged() -> None:
    """One film raised it and another could not be screened: the flag stands."""
    part = Answer(flagged=True, screened=False, shadow=True, model=MODEL)
    assert report(study(part, True)).rates.tp == 1


def test_disputed_studies_stand_apart_and_are_also_counted_against_us() -> None:
    """Readers who do not agree change no rate; beside them, each rate with its disputed ones as errors."""
    found = report(
        *times(9, study(FLAGGED, True, True)),
        study(UNFLAGGED, True),
        *times(20, study(UNFLAGGED, False)),
        study(FLAGGED, True, False),
        *times(2, study(UNFLAGGED, False, True, True)),
        study(UNSCREENED, False, True),
    )
    assert (found.rates.sensitivity.part, found.rates.sensitivity.whole, found.rates.specificity.whole) == (9, 10, 20)
    assert (found.disputed.flagged, found.disputed.unflagged, found.disputed.unscreened) == (1, 2, 1)
    assert (found.sensitivity_disputed_missed.part, found.sensitivity_disputed_missed.whole) == (9, 12)
    assert (found.specificity_disputed_wrong.part, found.specificity_disputed_wrong.whole) == (20, 21)
    assert found.studies.flagged == 10


def test_who_could_know_the_flag_is_left_out_of_every_other_figure() -> None:
    """A verdict after a flag that was sent or seen is no blind one: only the rates of its own hold it."""
    found = report(study(SENT, True, blind=False), study(FLAGGED, False, blind=False), study(UNFLAGGED, False))
    assert (found.knowing_studies, found.knowing.tp, found.knowing.fp) == (2, 1, 1)
    assert (found.rates.tp, found.rates.fp, found.rates.tn, found.studies.all) == (0, 0, 1, 1)
    assert [group.studies for group in found.weeks] == [1]
    assert found.models == [MODEL]


def test_answers_that_were_sent_are_no_shadow_studies() -> None:
    """What went out, and nobody judged, stands for no study of the shadow weeks."""
    assert report(study(SENT), study(FLAGGED)).studies.all == 1


def test_weeks_and_senders_part_the_studies() -> None:
    """Weeks in order of time, senders by their studies; each study in one of each."""
    found = report(
        study(FLAGGED, True, at=LATER, sender="B"),
        study(UNFLAGGED, True, sender=None),
        study(UNFLAGGED, False, at=LATER, sender="B"),
        study(FLAGGED, False, sender="A"),
        study(UNFLAGGED, sender="B"),
    )
    assert by_name(found.weeks) == {"2026-W37": (3, 2, 0, 1, 0, 1), "2026-W38": (2, 2, 1, 0, 1, 0)}
    assert list(by_name(found.senders).items()) == [
        ("B", (3, 2, 1, 0, 1, 0)),
        ("A", (1, 1, 0, 1, 0, 0)),
        ("unknown", (1, 1, 0, 0, 0, 1)),
    ]


@pytest.mark.parametrize(
    ("at", "name"),
    [
        ("2027-01-03T23:59:59+00:00", "2026-W53"),
        ("2027-01-04T00:30:00+01:00", "2026-W53"),
        ("2027-01-04T00:00:00+00:00", "2027-W01"),
    ],
)
def test_weeks_are_of_iso_and_utc(at: str, name: str) -> None:
    """A week belongs to the year of its Thursday, and begins on Monday, UTC."""
    assert week(datetime.fromisoformat(at)) == name


def test_nothing_and_one_verdict_make_a_report() -> None:
    """No study gives no figure, and one verdict an interval that says how little that is."""
    nothing, one = report(), report(study(FLAGGED, True))
    assert (nothing.rates.sensitivity.value, nothing.corrected_sensitivity, nothing.weeks) == (None, None, [])
    assert one.rates.sensitivity.value == 1.0
    assert one.rates.sensitivity.low == pytest.approx(0.2065, abs=1e-4)
    assert one.rates.specificity.value is None


def test_studies_that_changed_after_the_verdict_are_counted() -> None:
    """They stay in the rates with what was judged."""
    found = report(study(FLAGGED, True, changed=True), study(FLAGGED, True))
    assert (found.changed, found.rates.tp) == (1, 2)


def test_a_period_is_the_last_quarter_unless_said() -> None:
    """Days are included, today is one of them, and by default there are 91."""
    tomorrow = END.replace(hour=0) + timedelta(days=1)
    assert period(None, None, END) == (tomorrow - timedelta(days=DEFAULT_DAYS), tomorrow)
    day = START.replace(hour=0)
    assert period(day, day, END) == (day, day + timedelta(days=1))


@pytest.mark.parametrize("until", [START - timedelta(days=2), datetime.max.replace(tzinfo=START.tzinfo)])
def test_a_period_that_cannot_be_is_refused(until: datetime) -> None:
    """One that ends before it begins, or after the last date there is."""
    with pytest.raises(ReportPeriodError, match=r"lies after|this century"):
        period(START, until, END)
