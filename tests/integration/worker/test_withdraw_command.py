"""`cxr-triage withdraw` and what `cxr-triage study` shows of it, as commands of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.studies import STUDY, flags, incoming, prepare, receive, score_everything, state, the_study
from worker.db import Database
from worker.repository.model_versions import RegisteredModel
from worker.stating import Speaker

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, database_url: str, tmp_path: Path) -> None:
    """The commands work on this test's database."""
    monkeypatch.setenv("CXR_DATABASE_URL", database_url)
    monkeypatch.setenv("CXR_DATA_DIR", str(tmp_path / "data"))


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of `cxr-triage`."""
    return subprocess.run(
        [sys.executable, "-m", "worker.cli", *words], capture_output=True, text=True, check=False, timeout=60
    )


def test_a_flag_is_withdrawn_by_command_and_shown(
    database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """The command names the result and who is told; the study shows the marked image, who did it and why."""
    receive(database, incoming())
    prepare(database)
    score_everything(database, champion, flagged={"2.25.11"})
    state(database, speaker.state_finding)
    done = run("withdraw", STUDY, "--reason", "skin fold", "--by", "Dr. Roe")
    assert done.returncode == 0, done.stderr
    assert str(flags(database)[-1]["result_uid"]) in done.stdout
    assert the_study(database).priority is None
    shown = run("study", STUDY).stdout
    assert "flag withdrawn by Dr. Roe" in shown
    assert "skin fold" in shown
    assert "Dr. Roe" in shown
    again = run("withdraw", STUDY, "--reason", "skin fold")
    assert again.returncode == 2
    assert again.stderr.splitlines() == [f"cxr-triage: study {STUDY} has no flag, so there is none to withdraw"]


def test_an_unknown_study_is_one_line(database: Database, champion: RegisteredModel) -> None:
    """It names the study, and the command that lists those that were received."""
    done = run("withdraw", "2.25.404", "--reason", "x")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "no study 2.25.404 was received" in done.stderr
