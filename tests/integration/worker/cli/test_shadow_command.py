"""`cxr-triage shadow`, as an operator runs it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.integration.worker.test_shadow import DISAGREES, answer, judge
from tests.studies import NOW, incoming, receive
from worker.cli.main import app
from worker.db import Database
from worker.repository.model_versions import RegisteredModel

Run = Callable[..., Result]
DAYS = ("--since", "2026-11-20", "--until", "2026-11-20")


@pytest.fixture
def run(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call it with the words after `shadow`."""
    config = tmp_path / "settings.toml"
    config.write_text(f'data_dir = "{tmp_path}/data"\ndatabase_url = "{database_url}"\nshadow = true\n')
    monkeypatch.setenv("CXR_CONFIG", str(config))
    monkeypatch.setattr("worker.cli.shadow.utc_now", lambda: NOW)
    return lambda *words: CliRunner().invoke(app, ["shadow", *words])


def test_the_command_writes_one_file_and_says_the_figures(
    database: Database, champion: RegisteredModel, run: Run, tmp_path: Path
) -> None:
    """A flag that the reader did not agree with is a wrong one, in the terminal, in the file and in the JSON."""
    receive(database, incoming())
    answer(database, champion, flagged=True)
    judge(database, DISAGREES, flagged=True)
    file = tmp_path / "report.html"
    told = run(*DAYS, "--output", str(file))
    assert (told.exit_code, "specificity: 0 of 1 (95 % interval" in told.output) == (0, True)
    assert "1 wrongly flagged" in file.read_text(encoding="utf-8")
    found = json.loads(run(*DAYS, "--json").output)
    assert (found["rates"]["fp"], found["shadow"], found["created_at"]) == (1, True, "2026-11-20T10:00:00Z")


def test_nothing_to_report_is_no_fault(run: Run) -> None:
    """An empty database gives a report that says so."""
    told = run()
    assert (told.exit_code, "No verdict counts yet" in told.output) == (0, True)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--since", "2026-11-21", "--until", "2026-11-20"), "turn them round"),
        (("--output", "nowhere/report.html"), "there is no folder"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(run: Run, words: tuple[str, ...], problem: str) -> None:
    """A period turned round and a folder that is not there: a line that says what to do, and exit code 2."""
    told = run(*words)
    assert (told.exit_code, problem in told.output) == (2, True)
    assert "Traceback" not in told.output
