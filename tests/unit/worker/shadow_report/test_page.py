"""The page of the shadow report."""

import re
from datetime import timedelta

import pytest

from tests.markup import Balance
from tests.shadow_studies import FLAGGED, START, UNFLAGGED, UNSCREENED, drawn_studies, study
from worker.repository.shadow import ReadStudy
from worker.shadow_report.caveats import caveats
from worker.shadow_report.making import report_on
from worker.shadow_report.page import render
from worker.shadow_report.shares import share
from worker.shadow_report.summary import summary
from worker.shadow_report.views import ShadowReport
from worker.shadow_report.wording import figure, interval, per_cent, sentence

END = START + timedelta(weeks=15)


def report(*studies: ReadStudy, shadow: bool = True) -> ShadowReport:
    """The report on these studies."""
    return report_on(studies, START, END, END, shadow=shadow)


@pytest.fixture(scope="module")
def large() -> ShadowReport:
    """A report on 2,600 studies, the flagged ones judged more often."""
    return report(*drawn_studies(2600, judged_flagged=0.7, judged_unflagged=0.25))


def test_the_page_is_whole_and_needs_nothing_else(large: ShadowReport) -> None:
    """Every element is closed, no script is in it and nothing is loaded; the same report gives the same bytes."""
    page = render(large)
    balance = Balance()
    balance.feed(page)
    assert (balance.open, balance.wrong) == ([], [])
    assert not re.search(r"<script|<link|<img|https?://|url\(|@import| style=", page)
    assert page == render(large)


def test_a_sender_is_text(large: ShadowReport) -> None:
    """What a caller puts into its AE title is shown, and does nothing."""
    page = render(large)
    assert "&lt;CLINIC&gt;" in page
    assert "<CLINIC>" not in page


def test_every_week_has_its_point_and_the_whole_its_dashes(large: ShadowReport) -> None:
    """Two panels: a point for each rate that a week gives, hollow where its cases are few."""
    page = render(large)
    rates = [each for week in large.weeks for each in (week.rates.sensitivity, week.rates.specificity) if each.whole]
    assert len(rates) > 25
    assert page.count("<circle") == len(rates)
    assert page.count('r="3.6" fill="var(--paper)"') == sum(each.whole < 20 for each in rates)
    assert page.count("stroke-dasharray") == 2


def test_weeks_without_a_study_leave_a_gap() -> None:
    """A point lies where its week does: the third of four weeks at five eighths of the width."""
    found = report(
        *(study(FLAGGED, True, at=START + number * timedelta(weeks=1)) for number in (0, 2, 3)),
    )
    places = [float(x) for x in re.findall(r'circle cx="([\d.]+)"', render(found))]
    assert places[1] - places[0] == pytest.approx(2 * (places[2] - places[1]), abs=0.2)


def test_uneven_verdicts_are_said_in_words(large: ShadowReport) -> None:
    """Who reads the sensitivity reads which studies it is of, and what it would be of all."""
    said = " ".join(caveats(large))
    assert "the sensitivity is too high and the specificity too low" in said
    assert "weighted to all: 8" in render(large)  # the truth is 90 %, as they stand 96 %


def test_verdicts_on_the_unflagged_only_are_said_too() -> None:
    """The other way round the sensitivity is too low."""
    found = report(study(FLAGGED, True), study(FLAGGED), study(UNFLAGGED, False), study(UNFLAGGED, True))
    assert "the sensitivity is too low and the specificity too high" in " ".join(caveats(found))


def test_what_is_left_out_is_said() -> None:
    """Studies of readers who could know, of readers who disagree, and unscreened ones, each in a sentence."""
    found = report(
        study(FLAGGED, True),
        study(UNFLAGGED, True, False),
        study(UNSCREENED, True),
        study(FLAGGED, True, blind=False),
        shadow=False,
    )
    said = "\n".join(caveats(found))
    assert "not in shadow mode now" in said
    assert "Only 1 judged study with a suspicion" in said
    assert "1 study is left out because a reader could know the flag" in said
    assert "Readers disagree on 1 study," in said
    assert "1 judged study was not screened, 1 of them with a suspicion" in said
    assert "Only 1 study whose readers could know the flag" in render(found)


@pytest.mark.parametrize("studies", [(), (study(FLAGGED),)], ids=["no study", "no verdict"])
def test_a_report_without_verdicts_says_so(studies: tuple[ReadStudy, ...]) -> None:
    """Nothing to compare is a sentence, not a hundred per cent."""
    page = render(report(*studies))
    assert "No verdict counts yet" in page
    assert "none to count" in page


def test_few_cases_are_counts() -> None:
    """Below 20 cases the counts stand for the rate; the interval stands with both, and only all are 100 %."""
    few, many = share(3, 4), share(190, 200)
    assert (figure(few), figure(many), figure(share(0, 0))) == ("3 of 4", "95.0\xa0%", "none to count")
    assert sentence(few) == "3 of 4 (95 % interval 30.1 to 95.4\xa0%)"
    assert sentence(many) == "95.0\xa0%, 190 of 200 (95 % interval 91.0 to 97.3\xa0%)"
    assert [per_cent(value) for value in (0, 0.00001, 0.99999, 1)] == ["0\xa0%", "0.1\xa0%", "99.9\xa0%", "100\xa0%"]
    assert interval(share(0, 0)) == ""


def test_the_summary_is_the_same_in_a_few_lines(large: ShadowReport) -> None:
    """A terminal shows both rates with intervals, plain and weighted, and what to know before believing them."""
    lines = list(summary(large))
    assert lines[1].startswith("sensitivity: 9")
    assert lines[3].startswith("sensitivity, weighted to all screened: 8")
    assert lines[5:] == list(caveats(large))
