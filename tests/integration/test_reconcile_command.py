"""`cxr-triage reconcile` as a person and as a program sees it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dicom_io.types import ApplicationEntity
from tests.archives import OUR_TITLE, entity, fill, film
from tests.servers.dcmqrscp import StartQueryRetrieveScp
from worker.cli.main import app
from worker.db import Database
from worker.schema import migrate

Run = Callable[..., Any]
# pynetdicom drops the socket of a refused connection without closing it.
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call it with a PACS and words; it runs the command on a migrated database of this test's own."""
    monkeypatch.setattr("worker.cli.reconcile.configure_logging", lambda _settings: None)  # it is this process's
    config = tmp_path / "settings.toml"
    monkeypatch.setenv("CXR_CONFIG", str(config))

    (tmp_path / "data").mkdir()
    migrated = Database(f"sqlite:///{tmp_path / 'data' / 'cxr-triage.sqlite'}")
    migrate(migrated)
    migrated.dispose()

    def command(pacs: ApplicationEntity | None, *words: str) -> Any:
        lines = [f'data_dir = "{tmp_path / "data"}"', "min_free_bytes = 0"]
        if pacs is not None:
            lines += ["[reconciliation]", 'fetch_by = "get"', "timeout_seconds = 5", "[reconciliation.pacs]"]
            lines += [f'ae_title = "{pacs.ae_title}"', f'host = "{pacs.host}"', f"port = {pacs.port}"]
        config.write_text("\n".join(lines))
        return CliRunner().invoke(app, list(words))

    return command


def test_a_day_is_looked_at_and_then_fetched(run: Run, dcmqrscp: StartQueryRetrieveScp, tmp_path: Path) -> None:
    """A dry run says what is missing and fetches nothing; exit 1 until everything is here. Who ran it is recorded."""
    pacs = entity(dcmqrscp())
    fill(pacs, [film(number, f"2.25.{number}") for number in range(2)], tmp_path)
    planned = run(pacs, "reconcile", "--date", "2026-01-02", "--dry-run", "--json")
    assert planned.exit_code == 1
    assert {key: json.loads(planned.stdout)[key] for key in ("images", "missing", "fetched")} == {
        "images": 2,
        "missing": 2,
        "fetched": 0,
    }
    command = (sys.executable, "-m", "worker.cli", "reconcile", "--date", "2026-01-02", "--json")
    fetched = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(fetched.stdout)["fetched"] == 2
    assert fetched.stderr == ""
    history = json.loads(run(pacs, "study", "2.25.1", "--json").stdout)
    assert [event["kind"] for event in history["events"]] == ["image-received", "reconciled"]
    assert history["images"][0]["calling_ae_title"] == pacs.ae_title
    again = run(pacs, "reconcile", "--date", "2026-01-02")
    assert again.exit_code == 0
    assert "here\t2" in again.stdout


def test_what_is_wrong_is_told_in_one_line(run: Run, free_port: Callable[[], int]) -> None:
    """No PACS set, a PACS that is down, and a date that is none: exit 2, each with what to do."""
    unset = run(None, "reconcile", "--date", "2026-01-02")
    down = run(ApplicationEntity("DOWN", "127.0.0.1", free_port()), "reconcile", "--date", "2026-01-02")
    wrong = run(None, "reconcile", "--date", "02.01.2026")
    missing = run(None, "reconcile")
    assert [result.exit_code for result in (unset, down, wrong, missing)] == [2, 2, 2, 2]
    assert "reconciliation.pacs: not set: name the PACS" in unset.output
    assert "does not answer; check host, port and that it runs" in down.output


def test_a_pacs_that_does_not_know_us_says_what_to_add(
    run: Run, dcmqrscp: StartQueryRetrieveScp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence an operator hands to whoever runs the PACS."""
    pacs = entity(dcmqrscp())
    fill(pacs, [film(1, "2.25.1")], tmp_path)
    monkeypatch.setenv("CXR_RECONCILIATION__FETCH_BY", "move")
    monkeypatch.setenv("CXR_LISTENER__AE_TITLE", OUR_TITLE)
    refused = run(pacs, "reconcile", "--date", "2026-01-02")
    assert refused.exit_code == 2
    assert "add the listener's AE title, host and port to its list of destinations" in refused.output
