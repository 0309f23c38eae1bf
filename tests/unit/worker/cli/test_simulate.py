"""What a planner types and reads."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from worker.cli.main import app
from worker.model.artifact import default_directory, load_card
from worker.simulation import tandem, triage_gain

USAGE_ERROR = 2


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer studies than a planner gets."""
    monkeypatch.setattr(triage_gain, "CASES", 100)
    monkeypatch.setattr(tandem, "STUDIES", 300)


def simulate(*arguments: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(app, ["simulate", *arguments])


def figures(*arguments: str) -> dict[str, Any]:
    """What it says as JSON."""
    ended = simulate("--json", *arguments)
    assert ended.exit_code == 0, ended.output
    found: dict[str, Any] = json.loads(ended.output)
    return found


def test_both_halves_are_printed_with_what_was_assumed() -> None:
    """Every group of studies, every stage and every disk, and that it is a model."""
    ended = simulate("--readers", "4", "--escalate-after", "60", "--preemptive")
    assert ended.exit_code == 0, ended.output
    for words in ("4 readers share one list", "interrupts a reading", "after 60 minutes", "no clinical claim"):
        assert words in ended.output
    rows = {line.split("\t")[0] for line in ended.output.splitlines() if "\t" in line}
    assert {"diseased", "missed", "not diseased", "all", "intake", "prepare", "score", "deliver"} < rows


def test_the_flag_is_by_default_as_good_as_the_shipped_models_card_says() -> None:
    """Sensitivity and specificity as measured on the first films of the card."""
    measured, room = load_card(default_directory()).measurements[0], figures()["room"]
    assert (room["sensitivity"], room["specificity"]) == (measured.sensitivity, measured.specificity)


def test_readers_are_by_default_as_many_as_keep_up() -> None:
    """The least number that is busy for less than nine tenths of the time."""
    assert figures("--studies-per-day", "2400", "--reading-minutes", "2.5")["room"]["readers"] == 5


def test_the_same_numbers_give_the_same_answer() -> None:
    """And another seed another one."""
    assert simulate("--seed", "7").output == simulate("--seed", "7").output != simulate("--seed", "8").output


def test_a_group_that_is_empty_is_null() -> None:
    """JSON knows no NaN."""
    groups = {group["group"]: group for group in figures("--prevalence", "0")["gain"]["groups"]}
    assert groups["diseased"]["with_flags"]["mean"] == {"mean": None, "half_width": None}
    assert "none" in simulate("--prevalence", "0").output


def test_a_slow_destination_is_named_as_what_it_takes_more_of() -> None:
    """One takes one result at a time, so that no process more helps."""
    assert "name 3 in the settings" in simulate("--studies-per-day", "20000", "--deliver-rate", "0.5").output
    assert "does not keep up" not in simulate().output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--readers", "1"), "readers: 1 cannot keep up"),
        (("--prevalence", "5"), "prevalence: 5 is no share: give one from 0 to 1"),
        (("--studies-per-day", "0"), "studies-per-day: 0: give a number above 0"),
        (("--prepare-rate", "-1"), "prepare-rate: -1: give a number above 0"),
        (("--within-seconds", "0.1"), "within-seconds: 0.1: the work alone takes"),
    ],
)
def test_what_cannot_be_simulated_is_told_in_one_line(arguments: tuple[str, ...], told: str) -> None:
    """With the option's name and what to do."""
    ended = simulate(*arguments)
    assert ended.exit_code == USAGE_ERROR
    assert ended.stderr.startswith(f"cxr-triage: {told}")
    assert ended.stderr.count("\n") == 1


def test_without_the_simulator_the_extra_is_named(repository: Path) -> None:
    """A host that does not have it says so, and every other command works there."""
    code = "import sys; sys.modules['simpy'] = None; from worker.cli.main import app; app(['simulate'])"
    ended = subprocess.run([sys.executable, "-c", code], cwd=repository, check=False, capture_output=True, text=True)
    assert ended.returncode == USAGE_ERROR
    assert ended.stderr.startswith("cxr-triage: simulate takes the extra `simulate`")
    assert ended.stderr.count("\n") == 1
