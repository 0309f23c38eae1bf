"""`cxr-triage rescreen` as an operator runs it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner, Result

from tests.integration.worker.conftest import opened
from tests.rescreens import SICK, WELL, GreyNetwork, archive, finish, promote, rescreener
from tests.studies import put_in_service
from worker.champion import put_shipped_model_in_place
from worker.cli.main import app
from worker.db import Database
from worker.domain import ModelReference
from worker.model.artifact import default_directory, load_card
from worker.queues import Wake
from worker.repository.model_versions import RegisteredModel
from worker.schema import migrate
from worker.service import Service, utc_now
from worker.settings import Settings
from worker.tables import Event

USAGE_ERROR = 2
DAY = ("--since", "2026-11-20", "--until", "2026-11-20")
FILMS = {"2.25.1/2.25.11": SICK, "2.25.2/2.25.21": WELL}
Run = Callable[..., Result]


def configured(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Commands on a database."""
    config = tmp_path / "settings.toml"
    config.write_text(f'data_dir = "{tmp_path}/data"\ndatabase_url = "{url}"\nmin_free_bytes = 0\n')
    monkeypatch.setenv("CXR_CONFIG", str(config))
    monkeypatch.setattr("worker.cli.rescreen.configure_logging", lambda _: None)
    monkeypatch.setattr("worker.celery.wake", lambda _task: None)

    def words(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments)

    return words


@pytest.fixture
def run(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call it with the words of a command."""
    return configured(database_url, tmp_path, monkeypatch)


@pytest.fixture
def network() -> GreyNetwork:
    """The other model."""
    return GreyNetwork(load_card(default_directory()))


def score(database: Database, tmp_path: Path, model: RegisteredModel, network: GreyNetwork) -> None:
    """Do what score workers would."""
    ignored: Wake = lambda _task: None  # noqa: E731 - a wake-up that nobody hears
    finish(rescreener(Service(Settings(data_dir=tmp_path), database, ignored), model, network))


def test_a_run_is_begun_watched_and_reported(
    run: Run, database: Database, champion: RegisteredModel, network: GreyNetwork, tmp_path: Path
) -> None:
    """The reports say the same in words, in JSON and as a page; the last run can be reported again by its number."""
    archive(database, champion, network.card, FILMS)
    better = promote(database)
    begun = run("rescreen", *DAY, "--no-wait")
    assert "number 1" in begun.stdout
    assert json.loads(run("status", "--json").stdout)["rescreening"]["frames"] == 2
    score(database, tmp_path, better, network)
    page, table = tmp_path / "report.html", tmp_path / "report.json"
    said = run("rescreen", "--report", "1", "--html", str(page), "--json", str(table))
    assert said.exit_code == 0, said.output
    assert "newly flagged: 1 studies, 0 of them told by this run" in said.stdout
    found = json.loads(table.read_text())
    assert (found["schema"], found["studies"]["newly_flagged"]) == ("cxr-triage/rescreen/1", 1)
    assert "Newly flagged: 1 study" in page.read_text()
    again = json.loads(run("rescreen", *DAY, "--json", "-").stdout)
    assert (again["studies"], again["run"]["number"]) == (found["studies"], 2)
    told = json.loads(run("study", "2.25.1", "--json").stdout)
    assert [frame["flagged"] for frame in told["rescreenings"]] == [True]
    assert any("newly flagged, probability" in event["text"] for event in told["events"])
    assert "resnet50 1.1.0" in run("study", "2.25.1").stdout


def test_who_began_and_who_stopped_a_run_is_recorded(
    run: Run, database: Database, champion: RegisteredModel, network: GreyNetwork
) -> None:
    """In the audit trail, by user and host."""
    archive(database, champion, network.card, FILMS)
    promote(database)
    run("rescreen", *DAY, "--no-wait")
    assert "was stopped; what it scored stays" in run("rescreen", "--stop").stdout
    with database.read() as session:
        kinds = {event.kind: event.detail["by"] for event in session.scalars(select(Event)) if "rescreen" in event.kind}
    assert set(kinds) == {"rescreen-started", "rescreen-stopped"}
    assert all("@" in by for by in kinds.values())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--since", "2026-11-21", "--until", "2026-11-19"), "--since is later than --until"),
        (("--since", "2020-01-01", "--until", "2020-01-02"), "no study was received from 2020-01-01 00:00"),
        (("--model", "9.9.9"), "no model was ever in service here that is called 9.9.9"),
        (("--report", "7"), "there is no re-screening 7"),
        ((*DAY, "--here", "--no-wait"), "--here: the films are scored in this command: leave out --no-wait"),
        (("--stop",), "none to stop"),
        ((*DAY, "--html", "nowhere/report.html"), "there is no folder"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    run: Run, database: Database, champion: RegisteredModel, network: GreyNetwork, words: tuple[str, ...], said: str
) -> None:
    """On standard error, with exit code 2; nothing is begun."""
    archive(database, champion, network.card, FILMS)
    promote(database)
    refused = run("rescreen", *words)
    assert (refused.exit_code, refused.stderr.count("\n")) == (USAGE_ERROR, 1)
    assert said in refused.stderr
    assert json.loads(run("status", "--json").stdout)["rescreening"] is None


def test_a_report_that_cannot_be_starts_no_run(
    run: Run, database: Database, champion: RegisteredModel, network: GreyNetwork
) -> None:
    """Runs are counted from 1."""
    archive(database, champion, network.card, FILMS)
    promote(database)
    assert run("rescreen", *DAY, "--no-wait", "--report", "0").exit_code == USAGE_ERROR
    assert json.loads(run("status", "--json").stdout)["rescreening"] is None


def test_films_without_an_answer_are_told_by_the_exit_code(
    run: Run, database: Database, champion: RegisteredModel, network: GreyNetwork
) -> None:
    """A run that was stopped has left films unanswered."""
    archive(database, champion, network.card, FILMS)
    promote(database)
    run("rescreen", *DAY, "--no-wait")
    run("rescreen", "--stop")
    left = run("rescreen", "--report", "1")
    assert (left.exit_code, "unanswered: 2 frames" in left.stdout) == (1, True)


def test_one_machine_without_a_score_worker_can_do_it_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--here` loads the model in service and scores the films itself."""
    url, card = f"sqlite:///{tmp_path / 'here.sqlite'}", load_card(default_directory())
    with opened(url) as database:
        migrate(database)
        before = put_in_service(database, ModelReference(name="resnet50", version="0.9.0", sha256="0" * 64))
        archive(database, before, card, FILMS)
        put_shipped_model_in_place(database, utc_now())
    done = configured(url, tmp_path, monkeypatch)("rescreen", *DAY, "--here", "--json", str(tmp_path / "out.json"))
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["run"]["outcome"], found["counts"]["frames_scored"]) == ("finished", 2)
    assert found["run"]["model"]["sha256"] == card.sha256
