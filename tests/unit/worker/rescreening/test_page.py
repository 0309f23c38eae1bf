"""The page of a re-screening."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.markup import Balance
from tests.studies import MODEL
from worker.repository.rescreen_views import Bin, ChangedStudy, Changes, Counts, Difference, Pair, RunView, Shift
from worker.rescreening.figure import draw_shift
from worker.rescreening.page import MOST_SHOWN, render

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
NOTHING = dict.fromkeys(Counts.model_fields, 0)


def changed(number: int, accession: str | None = "ACC1", *, told: bool = False) -> ChangedStudy:
    """A study."""
    return ChangedStudy(
        study_instance_uid=f"2.25.{number}",
        accession_number=accession,
        received_at=NOW,
        previous_probability=0.1,
        probability=0.9,
        threshold=0.3,
        told=told,
    )


def difference(
    *, newly: int = 1, outcome: str | None = "finished", accession: str | None = "ACC1", **counts: int
) -> Difference:
    """What a run found."""
    run = RunView(
        number=7,
        model=MODEL,
        since=NOW - timedelta(days=9),
        until=NOW,
        requested_by="<me@host>",
        deliver=False,
        frames=10,
        done=10,
        told=0,
        to_prepare=0,
        outcome=outcome,
        waiting_for=None,
        started_at=NOW,
        ended_at=NOW if outcome else None,
    )
    changes = Changes(newly_flagged=newly, never_flagged=9)
    shift = Shift(
        mean_probability=0.1,
        mean_logit=0.5,
        quantiles={"0.05": -0.1, "0.95": 0.2},
        bins=[Bin(at=0.0, frames=9), Bin(at=0.8, frames=newly)],
    )
    pair = Pair(previous=MODEL.model_copy(update={"version": "0.9.0"}), frames=changes, studies=changes, shift=shift)
    studies = [changed(number, accession) for number in range(newly)]
    return Difference(
        run=run,
        counts=Counts(**{**NOTHING, "studies": 12, "studies_scored": 10, "frames_scored": 10, **counts}),
        studies=changes,
        frames=changes,
        pairs=[pair],
        newly_flagged=studies,
        no_longer_flagged=[],
        lacking=["2.25.77"] if counts.get("damaged") else [],
        created_at=NOW,
    )


def test_the_page_needs_nothing_else_and_closes_what_it_opens() -> None:
    """One file: no script, no address but that of nothing, a policy that lets nothing in."""
    page = render(difference(damaged=1))
    balance = Balance()
    balance.feed(page)
    assert (balance.open, balance.wrong) == ([], [])
    assert re.findall(r"(?:src|href)=|<script|https?://", page) == []
    assert "default-src 'none'" in page


def test_what_a_sender_wrote_is_text_and_no_markup() -> None:
    """An accession number comes from outside."""
    page = render(difference(accession="<script>alert(1)</script>"))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;me@host&gt;" in page


def test_the_same_difference_gives_the_same_page() -> None:
    """Two pages can be compared."""
    assert render(difference()) == render(difference())


def test_a_long_list_is_cut_and_says_so() -> None:
    """The page stays one that a browser can show; the JSON has the rest."""
    page = render(difference(newly=MOST_SHOWN + 5))
    assert page.count("<code>2.25.") == MOST_SHOWN
    assert f"Newly flagged: {MOST_SHOWN + 5} studies" in page
    assert "the JSON report has more" in page


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (difference(outcome=None), "The run is still going on"),
        (difference(outcome="stopped"), "The run was stopped before its end"),
        (difference(damaged=2), "Frames are without an answer that should have one"),
        (difference(), "This page names accession numbers"),
        (difference(newly=0), "None."),
        (difference(withdrawn=3), "a reader has withdrawn the flag"),
    ],
)
def test_what_must_be_known_is_said(found: Difference, said: str) -> None:
    """Incomplete counts, patient references and empty lists are told in words."""
    assert said in render(found)


def test_no_page_calls_a_study_normal() -> None:
    """No longer flagged is not healthy."""
    page = render(difference()).lower()
    assert "normal" not in page
    assert "no flag says nothing of\nhealth" in page


def test_every_frame_is_in_one_bar_of_the_figure() -> None:
    """Shifts from end to end, the extremes included."""
    bins = [Bin(at=at / 1000, frames=1) for at in range(-1000, 1001)]
    counts = [int(count) for count in re.findall(r": (\d+) frames</title>", draw_shift(bins))]
    assert sum(counts) == 2001
    assert len(counts) == 41
