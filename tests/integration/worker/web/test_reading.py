"""The API of what was read and of verdicts: who may, what is answered, and what is refused."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.integration.worker.web.conftest import READER, Browser
from tests.studies import STUDY, incoming, prepare, receive, score_everything, state, the_study
from worker.db import Database
from worker.domain import UserRole
from worker.repository.model_versions import RegisteredModel
from worker.stating import Speaker

SignIn = Callable[[str], Browser]
READ, VERDICTS = f"/api/v1/studies/{STUDY}/read", f"/api/v1/studies/{STUDY}/verdicts"


@pytest.fixture
def engine(app: FastAPI, anybody: TestClient) -> TestClient:
    """A RIS's interface engine, which sends its token."""
    token = app.state.accounts.add("ris", UserRole.INTERFACE, by="test")
    anybody.headers["Authorization"] = f"Bearer {token}"
    return anybody


def test_a_program_says_what_was_read_and_no_verdict(database: Database, engine: TestClient) -> None:
    """The read signal is its own; verdicts, whose comments may name patients, are people's."""
    receive(database, incoming())
    answer = engine.post(READ)
    assert (answer.status_code, answer.json()["study_instance_uid"]) == (200, STUDY)
    assert the_study(database).read_at is not None
    assert engine.post(READ).json() == answer.json()
    assert engine.post(VERDICTS, data={"verdict": "agrees"}).status_code == 403
    assert engine.get(VERDICTS).status_code == 403


def test_a_reader_records_a_verdict(database: Database, sign_in: SignIn) -> None:
    """It is answered, listed, and kept as it was said; a script in it is text."""
    receive(database, incoming())
    browser = sign_in(READER)
    form = {"verdict": "disagrees", "comment": "<script>", "csrf_token": browser.csrf_token}
    answer = browser.client.post(VERDICTS, data=form)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    said = answer.json()
    assert (said["verdict"], said["verdicts"][0]["reader"], said["verdicts"][0]["comment"]) == (
        "disagrees",
        READER,
        "<script>",
    )
    assert browser.client.get(VERDICTS).json() == said


def test_what_nobody_may_say(database: Database, anybody: TestClient, sign_in: SignIn) -> None:
    """Without a session 401; with another session's form 403; of an unknown study 404; nothing is kept."""
    receive(database, incoming())
    assert [anybody.post(READ).status_code, anybody.get(VERDICTS).status_code] == [401, 401]
    browser = sign_in(READER)
    assert browser.client.post(READ).status_code == 403
    form = {"verdict": "agrees", "csrf_token": browser.csrf_token}
    for path in ("read", "verdicts"):
        answer = browser.client.post(f"/api/v1/studies/2.25.404/{path}", data=form)
        assert (answer.status_code, "was received" in answer.json()["detail"]) == (404, True)
    assert browser.client.get("/api/v1/studies/2.25.404/verdicts").status_code == 404
    assert the_study(database).read_at is None


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"verdict": "perhaps"}, 422),
        ({"verdict": "agrees", "comment": "x" * 2001}, 422),
        ({"verdict": "agrees", "comment": "a\0b"}, 422),
        ({"verdict": "agrees", "comment": "a\x9b2Jb"}, 422),
        ({"verdict": "agrees", "comment": "x" * 2_000_000}, 413),
    ],
)
def test_what_cannot_be_taken_is_told(database: Database, sign_in: SignIn, form: dict[str, str], status: int) -> None:
    """Another word, a comment of two megabytes, or one that no database takes: an answer, and nothing is kept."""
    receive(database, incoming())
    browser = sign_in(READER)
    answer = browser.client.post(VERDICTS, data=form | {"csrf_token": browser.csrf_token})
    assert answer.status_code == status
    assert browser.client.get(VERDICTS).json()["verdicts"] == []


def test_a_time_without_a_zone_and_a_uid_that_is_none_are_refused(engine: TestClient) -> None:
    """Neither reaches the database, which would fail at a null character."""
    assert engine.post(READ, data={"read_at": "2026-11-20T10:00:00"}).status_code == 422
    assert engine.post("/api/v1/studies/a%00b/read").status_code == 422


def test_a_program_sees_nothing_that_a_reader_wrote(
    database: Database, champion: RegisteredModel, speaker: Speaker, engine: TestClient, sign_in: SignIn
) -> None:
    """A comment and a reason may name the patient: a study's history has them for people only."""
    receive(database, incoming())
    prepare(database)
    score_everything(database, champion, flagged=["2.25.11"])
    state(database, speaker.state_finding)
    browser = sign_in(READER)
    said = {"csrf_token": browser.csrf_token, "verdict": "disagrees", "comment": "Mrs. Doe has a skin fold"}
    assert browser.client.post(VERDICTS, data=said).status_code == 200
    why = {"csrf_token": browser.csrf_token, "reason": "a fold of Mrs. Doe's skin"}
    assert browser.client.post(f"/api/v1/studies/{STUDY}/withdraw", data=why).status_code == 200
    history = f"/api/v1/studies/{STUDY}"
    assert "of Mrs. Doe's skin" in browser.client.get(history).text
    assert "Doe" not in engine.get(history).text
    assert "flag withdrawn by reader" in engine.get(history).text
    assert [verdict["comment"] for verdict in browser.client.get(history).json()["verdicts"]] == [said["comment"]]
    assert [verdict["comment"] for verdict in engine.get(history).json()["verdicts"]] == [None]
