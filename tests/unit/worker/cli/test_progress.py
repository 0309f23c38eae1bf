"""What a run says of itself."""

from pathlib import Path

import pytest

from dicom_io.reasons import Reason
from worker.cli import progress
from worker.cli.progress import Pace, Tally, meter
from worker.domain import Priority


def test_the_summary_counts_by_status_reason_and_priority() -> None:
    """Every file is counted once, and only what may have been a film as lost."""
    tally = Tally([Path("films"), Path("named.txt")])
    for path, reason, priority in (
        ("films/a", None, Priority.HIGH),
        ("films/b", None, None),
        ("films/c", Reason.LATERAL_VIEW, None),
        ("films/d", Reason.TRUNCATED, None),
        ("films/e", Reason.TRUNCATED, None),
        ("films/notes.txt", Reason.NOT_AN_IMAGE, None),
        ("named.txt", Reason.NOT_AN_IMAGE, None),
    ):
        tally.note(Path(path), reason, priority)
    said = tally.summary()
    assert said.splitlines()[0] == "SCREENED 2, of which HIGH 1"
    assert said.splitlines()[1].startswith("UNSCREENED 5: ")
    assert {"truncated 2", "not-an-image 2", "lateral-view 1"} == set(said.split(": ")[1].split(", "))
    assert tally.lost == 3


def test_the_time_left_counts_what_this_run_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that an earlier run did make this one no faster."""
    pace = Pace(total=1000, done=600, begun_with=400, started=100.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: 120.0)
    assert pace.line() == "600 of 1000 files, 10.0 files/s, 40 s left"
    pace.total = 100_600
    assert pace.line() == "600 of 100600 files, 10.0 files/s, 2 h 46 min left"


def test_without_a_terminal_a_line_is_written_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who looks into the log of a night's run sees how far it is, without a line for every file."""
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with meter(Pace(total=100, started=0.0)) as shown:
        for done in range(1, 101):
            now += 1.0
            shown.show(done)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" of ")[0] for line in lines] == ["cxr-triage: 30", "cxr-triage: 60", "cxr-triage: 90"]
    assert lines[0].endswith("30 of 100 files, 1.0 files/s, 1 min 10 s left")
