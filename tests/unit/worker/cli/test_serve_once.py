"""One `serve` per data folder."""

import fcntl
from pathlib import Path

import pytest
from typer.testing import CliRunner

from worker.cli.main import app


def test_a_second_serve_on_the_same_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which folder is taken, and starts nothing."""
    monkeypatch.setenv("CXR_DATA_DIR", str(tmp_path))
    with (tmp_path / "serve.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = CliRunner().invoke(app, ["serve"])
    assert done.exit_code == 2
    assert "another `serve` runs on" in done.output
    assert not list(tmp_path.glob("*.sqlite"))
