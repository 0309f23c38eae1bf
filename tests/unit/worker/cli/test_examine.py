"""What `doctor` prints and exits with."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from worker.cli.main import app
from worker.cli.run import _prepare_database
from worker.doctor import Doctor
from worker.finding import Finding
from worker.settings import Settings

WELL = Finding("model", "resnet50 1.0.0")
DOUBTFUL = Finding("broker's memory", "doubtful", warning="Redis drops keys: set noeviction")
NOT_WELL = Finding("listener", "not well", problem="nobody answers: start it")


@pytest.mark.parametrize(
    ("findings", "status", "lines"),
    [
        ((WELL,), 0, ["well  model: resnet50 1.0.0"]),
        ((WELL, DOUBTFUL), 0, ["well  model: ", "warning  broker's memory: Redis drops keys: set noeviction"]),
        ((NOT_WELL, DOUBTFUL), 1, ["NOT WELL  listener: nobody answers: start it", "warning  broker's memory: "]),
    ],
)
def test_a_warning_is_told_and_does_not_make_the_service_unwell(
    findings: tuple[Finding, ...], status: int, lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line each; the exit code is 1 only where something is wrong now, and JSON tells both apart."""
    monkeypatch.setenv("CXR_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("CXR_CONFIG", raising=False)
    monkeypatch.setattr(Doctor, "examine", lambda _: iter(findings))
    _prepare_database(Settings(data_dir=tmp_path))
    ended = CliRunner().invoke(app, ["doctor"])
    assert ended.exit_code == status
    printed = ended.stdout.splitlines()
    assert len(printed) == len(lines)
    assert all(line.startswith(begin) for line, begin in zip(printed, lines, strict=True))
    told = [json.loads(line) for line in CliRunner().invoke(app, ["doctor", "--json"]).stdout.splitlines()]
    assert [(one["problem"], one["warning"]) for one in told] == [(f.problem, f.warning) for f in findings]
