"""Commands as an operator runs them, on both kinds of database: what they show, do, and leave in the audit trail."""

import json
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner, Result

from tests.studies import NOW, STUDY, incoming, prepare, receive, result, say, score_everything, sha256, state
from worker.cli.main import app
from worker.db import Database
from worker.domain import DeliveryState, ImageState
from worker.level import LEVEL
from worker.repository.model_versions import RegisteredModel
from worker.repository.preparation import fail_exhausted_images
from worker.stating import Speaker
from worker.tables import Delivery, Event, Image, Study

USAGE_ERROR = 2
Run = Callable[..., Result]


@pytest.fixture
def run(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call it with the words of a command; `by` is who runs it, behind sudo."""
    config = tmp_path / "settings.toml"
    config.write_text(f'data_dir = "{tmp_path}/data"\ndatabase_url = "{database_url}"\nmin_free_bytes = 0\n')
    monkeypatch.setenv("CXR_CONFIG", str(config))
    monkeypatch.setenv("SUDO_USER", "jane")
    monkeypatch.setattr("worker.cli.purge.configure_logging", lambda _: None)
    monkeypatch.setattr("worker.cli.run.configure_logging", lambda _: None)

    def words(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments)

    return words


def commands(database: Database) -> list[tuple[str | None, dict[str, object]]]:
    """The commands in the audit trail, with the study that they were about."""
    with database.read() as session:
        rows = session.scalars(select(Event).where(Event.kind == "command").order_by(Event.id))
        return [(row.study_instance_uid, row.detail) for row in rows]


def ran_by_jane(detail: dict[str, object]) -> dict[str, object]:
    """The rest of a command's detail, once it is sure that she ran it."""
    assert str(detail.pop("by")).startswith("jane@")
    return detail


@pytest.fixture
def quarantined(database: Database, champion: RegisteredModel, speaker: Speaker) -> Database:
    """A study with a film that was scored and one that was set aside, of which that was said."""
    receive(database, incoming(), incoming("2.25.12"))
    prepare(database)
    score_everything(database, champion)
    with database.begin() as session:
        waiting = select(Image).where(Image.state == ImageState.RECEIVED)
        image = session.scalars(waiting).one()
        image.last_error, image.traceback = "ValueError", "worker/preparing.py:7 in _prepare\nValueError"
        image_id = image.id
    with database.begin() as session:
        fail_exhausted_images(session, [image_id], NOW)
    assert state(database, speaker.state_conclusion)
    return database


def test_the_quarantine_is_listed_with_who_sent_what_and_why(quarantined: Database, run: Run) -> None:
    """As a table, and whole as JSON."""
    listed = run("quarantine").stdout.splitlines()
    assert len(listed) == 2
    for word in ("2.25.12", STUDY, "attempts-exhausted", "PACS1", "ValueError"):
        assert word in listed[1]
    (entry,) = json.loads(run("quarantine", "list", "--json", "--study", STUDY).stdout)
    assert (entry["sop_instance_uid"], entry["reason"], entry["file"]) == ("2.25.12", "attempts-exhausted", "kept")
    assert (entry["last_error"], entry["calling_ae_title"]) == ("ValueError", "PACS1")
    assert entry["failed_at"] is not None


def test_a_traceback_is_shown(quarantined: Database, run: Run) -> None:
    """The places in the code, line by line."""
    assert "    worker/preparing.py:7 in _prepare\n    ValueError\n" in run("quarantine", "show").stdout


@pytest.mark.parametrize("named", [(), ("--study", STUDY), ("--image", "2")])
def test_one_command_puts_back_all_those_of_a_study_or_one(
    quarantined: Database, run: Run, named: tuple[str, ...]
) -> None:
    """The film is work again, its study is open, and who did it is known."""
    assert run("quarantine", "retry", *named).stdout == "1 images put back; their studies get a new result\n"
    with quarantined.read() as session:
        assert session.get_one(Image, 2).state == ImageState.RECEIVED
        study = session.scalars(select(Study)).one()
    assert study.concluded_revision < study.revision
    ((uid, detail),) = commands(quarantined)
    assert uid == (STUDY if "--study" in named else None)
    image = 2 if "--image" in named else None
    assert ran_by_jane(detail) == {"command": "quarantine retry", "image": image, "put_back": 1, "purged": 0}


def test_a_film_without_its_file_cannot_be_put_back(quarantined: Database, run: Run) -> None:
    """One line says which, and what to do; the exit code tells a script."""
    with quarantined.begin() as session:
        session.execute(update(Image).values(purged_at=NOW))
    ended = run("quarantine", "retry")
    assert ended.exit_code == USAGE_ERROR
    assert "images 2: retention has removed the received files: send them again, then retry" in ended.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("quarantine", "away"), "quarantine away: unknown; use list, show or retry"),
        (("quarantine", "retry", "--study", "2.25.404"), "no such image is set aside"),
        (("deliveries", "away"), "deliveries away: unknown; use list or retry"),
        (("deliveries", "--destination", "nowhere"), "--destination nowhere: unknown; there are flags"),
        (("study", "2.25.404"), "no study 2.25.404 was received"),
        (("purge",), "no spool in "),
    ],
)
def test_a_wrong_command_is_one_clear_line(database: Database, run: Run, words: tuple[str, ...], said: str) -> None:
    """Nothing is done, nothing is recorded."""
    ended = run(*words)
    assert ended.exit_code == USAGE_ERROR
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert commands(database) == []


def test_dead_letters_are_counted_and_put_back_by_destination(
    database: Database, champion: RegisteredModel, run: Run
) -> None:
    """Only those of the named one; the study's trail and the command say who did it."""
    receive(database, incoming())
    say(database, champion, result(), to=("flags", "pacs"))
    with database.begin() as session:
        session.execute(update(Delivery).values(state=DeliveryState.DEAD))
    counts = [line.split("\t")[:4] for line in run("deliveries", "--destination", "pacs").stdout.splitlines()[:2]]
    assert counts == [["destination", "waiting", "waiting_since", "dead"], ["pacs", "0", "", "1"]]
    assert run("deliveries", "retry", "--destination", "pacs").stdout == "1 dead letters put back\n"
    left = json.loads(run("deliveries", "--json").stdout)
    assert {row["destination"]: row["state"] for row in left} == {"flags": "dead", "pacs": "pending"}
    ((_, detail),) = commands(database)
    assert ran_by_jane(detail) == {"command": "deliveries retry", "destination": "pacs", "put_back": 1}
    assert "dead letter to pacs put back by jane@" in run("study", STUDY).stdout


def test_a_purge_by_hand_says_what_it_did_and_who_asked(
    database: Database, champion: RegisteredModel, run: Run, tmp_path: Path
) -> None:
    """First what it would do, with nothing done."""
    receive(database, incoming())
    prepare(database, state=ImageState.OUT_OF_SCOPE)
    with database.begin() as session:
        session.execute(update(Study).values(concluded_revision=1))
    content = sha256(f"{STUDY} 2.25.11 first")
    file = tmp_path / "data" / "spool" / content[:2] / f"{content}.dcm"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"film")
    os.utime(file, (NOW.timestamp(),) * 2)
    config = tmp_path / "settings.toml"
    config.write_text(f"{config.read_text()}[retention]\nraw_days = 1e-9\n")
    assert run("purge", "--dry-run").stdout.startswith("would go: 1 received files, 0 prepared images, 0 ")
    assert file.exists()
    assert commands(database) == []
    gone = "gone: 1 received files, 0 prepared images, 0 files without an image, 0 begun files, 0 studies of the doctor"
    assert run("purge").stdout.endswith(f"{gone}; 4 bytes\n")
    assert not file.exists()
    ((_, detail),) = commands(database)
    counts = {"files": 1, "prepared": 0, "orphans": 0, "begun": 0, "bytes": 4, "synthetic": 0}
    assert ran_by_jane(detail) == {"command": "purge", **counts}
    assert "retention removed the received files of 1 image" in run("study", STUDY).stdout


def test_migrating_is_recorded(database: Database, run: Run) -> None:
    """Who brought the database to which version."""
    assert run("migrate").exit_code == 0
    ((_, detail),) = commands(database)
    assert ran_by_jane(detail).pop("command") == "migrate"


def test_a_study_is_told_as_one_timeline(quarantined: Database, run: Run) -> None:
    """From the first film to the last command, in order, in sentences; JSON has the same with what it had before."""
    run("quarantine", "retry", "--study", STUDY)
    lines = [line.partition("Z  ")[2] for line in run("study", STUDY).stdout.splitlines() if "Z  " in line]
    begins = [
        "received image 1 from PACS1 (SOP instance 2.25.11)",
        "received image 2 from PACS1 (SOP instance 2.25.12)",
        "image 1 prepared",
        "image 1 scored by resnet50 1.0.0: not flagged, probability 0.0200, threshold 0.3100",
        "image 2 set aside: attempts-exhausted, ValueError",
        "said: UNSCREENED, incomplete (conclusion, result 2.25.",
        "image 2 was taken out of quarantine by jane@",
        "jane@",
    ]
    assert len(lines) == len(begins)
    assert [line[: len(begin)] for line, begin in zip(lines, begins, strict=True)] == begins
    assert "ran quarantine retry" in lines[-1]
    history = json.loads(run("study", STUDY, "--json").stdout)
    assert set(history) == {"study", "images", "results", "deliveries", "events", "rescreenings", "verdicts"}
    assert [event["text"] for event in history["events"]] == lines
    assert {"at", "kind", "detail"} < set(history["events"][0])


def test_status_tells_the_disk_and_the_oldest_file(quarantined: Database, run: Run, tmp_path: Path) -> None:
    """How much is free, how much is kept free, and whether objects are refused for it."""
    before = json.loads(run("status", "--json").stdout)
    assert (before["free_bytes"], before["refuses_objects"]) == (None, None)
    assert (before["schema_level"], before["version"]) == (LEVEL, version("cxr-triage"))
    (tmp_path / "data" / "spool").mkdir(parents=True)
    settings = tmp_path / "settings.toml"
    settings.write_text(settings.read_text().replace("min_free_bytes = 0", f"min_free_bytes = {1 << 60}"))
    full = json.loads(run("status", "--json").stdout)
    assert full["free_bytes"] > 0
    assert (full["kept_free_bytes"], full["refuses_objects"]) == (1 << 60, True)
    assert (full["kept_files"], full["oldest_file"], full["failed_images"]) == (2, "2026-11-20T10:00:00Z", 1)
