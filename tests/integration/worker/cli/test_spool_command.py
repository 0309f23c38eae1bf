"""`cxr-triage spool` as an operator runs it, on both kinds of database."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner, Result

from dicom_io.identity import content_sha256
from dicom_io.phantom import phantom_dataset
from dicom_io.spool import Spool
from worker.cli.main import app
from worker.db import Database
from worker.tables import Event

USAGE_ERROR, NOT_WHOLE = 2, 1
Run = Callable[..., Result]


@pytest.fixture
def run(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call it with the words of a command."""
    config = tmp_path / "settings.toml"
    config.write_text(f'data_dir = "{tmp_path}/data"\ndatabase_url = "{database_url}"\nmin_free_bytes = 0\n')
    monkeypatch.setenv("CXR_CONFIG", str(config))
    return lambda *words: CliRunner().invoke(app, words)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A film in the spool of which the database knows nothing."""
    aside = tmp_path / "film.dcm"
    phantom_dataset(1, kind="CR", rows=32, columns=32, study_instance_uid="2.25.7").save_as(
        aside, enforce_file_format=True
    )
    path = Spool(tmp_path / "data" / "spool", min_free_bytes=0).path(content_sha256(aside))
    path.parent.mkdir(parents=True)
    return aside.rename(path)


def test_an_unknown_film_is_taken_in_and_a_missing_one_is_told(run: Run, database: Database, film: Path) -> None:
    """Unknown is no fault; taken in it is recorded who did it; a missing one ends with 1 and names its study."""
    listed = run("spool")
    assert (listed.exit_code, listed.output.splitlines()) == (
        0,
        ["fact\tvalue", "images\t0", "missing\t0", "unknown\t1"],
    )
    taken = run("spool", "take-in", "--caller", "PACS1")
    assert (taken.exit_code, taken.stdout) == (0, "1 films taken in; they are screened as if just sent\n")
    with database.read() as session:
        detail = session.scalars(select(Event.detail).where(Event.kind == "command")).one()
    assert (detail["command"], detail["taken"], detail["refused"]) == ("spool take-in", 1, 0)
    film.unlink()
    missing = run("spool")
    assert missing.exit_code == NOT_WHOLE
    assert missing.output.splitlines()[-1].startswith("received\t2.25.7\t2.25.")
    assert '"study_instance_uid": "2.25.7"' in run("spool", "--json").output


@pytest.mark.parametrize(
    ("words", "said"), [(("take-in",), "--caller: name the AE title"), (("adopt",), "unknown; use list or take-in")]
)
def test_wrong_usage_is_one_line(run: Run, film: Path, words: tuple[str, ...], said: str) -> None:
    """Taking in without saying from whom, or an action that there is not, changes nothing."""
    result = run("spool", *words)
    assert result.exit_code == USAGE_ERROR
    (line,) = result.stderr.splitlines()
    assert said in line
    assert run("spool").output.splitlines()[-1] == "unknown\t1"
