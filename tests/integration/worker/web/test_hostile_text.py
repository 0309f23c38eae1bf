"""What a sender, a reader or an operator may write, as it comes back on every page and in the API."""

import json
from collections.abc import Callable
from itertools import product

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import update

from tests.integration.worker.web.conftest import ADMIN, Browser
from tests.integration.worker.web.one_database import database_url  # noqa: F401 - a fixture
from tests.integration.worker.web.routes import Route, routes
from tests.studies import STUDY, incoming, prepare, receive, score_everything, state
from worker.correcting import LONGEST_REASON
from worker.db import Database
from worker.repository.model_versions import RegisteredModel
from worker.stating import Speaker
from worker.tables import Event, Image
from worker.web.live import MOST_LISTENERS

SCRIPT = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}"
ACCESSION, TITLE = "<b>&'\"7</b>", "<i>\"&'</i>"
PARTS = ("<script>", "<img src=x", "<b>&", '<i>"', "onerror=alert(1)>", "49}}")


@pytest.fixture
def hostile(app: FastAPI, database: Database, champion: RegisteredModel, speaker: Speaker) -> str:
    """A flagged study of a hostile sender, of which events tell hostile things."""
    receive(database, incoming(accession_number=ACCESSION))
    prepare(database)
    score_everything(database, champion, flagged=["2.25.11"])
    state(database, speaker.state_finding)
    with database.begin() as session:
        session.execute(update(Image).values(calling_ae_title=TITLE))
        for kind in ("withdrawn", "<script>alert(1)</script>", "image-failed", "object-recorded"):
            told = dict.fromkeys(("reason", "by", "error", "calling_ae_title", "sop_instance_uid"), SCRIPT)
            session.add(
                Event(
                    at=app.state.service.now(),
                    kind=kind,
                    study_instance_uid=STUDY,
                    detail=told | {"result_uid": "2.25.9"},
                )
            )
    return STUDY


def _pages(app: FastAPI) -> list[Route]:
    return [route for route in routes(app) if route.method == "GET" and not route.path.endswith(".png")]


def test_what_a_sender_wrote_is_shown_and_never_run(
    app: FastAPI, sign_in: Callable[[str], Browser], hostile: str
) -> None:
    """Every page escapes every text; the API tells it as JSON and says that it is."""
    app.state.news.listeners = MOST_LISTENERS
    said = {"csrf_token": (browser := sign_in(ADMIN)).csrf_token, "verdict": "disagrees", "comment": SCRIPT}
    assert browser.client.post(f"/studies/{hostile}/verdict", data=said).status_code == 303
    admin, shown = browser.client, 0
    for route in _pages(app):
        answer = admin.get(route.path, params={"show": "all"} if route.path == "/" else None)
        if route.for_programs:
            assert answer.headers["content-type"] == "application/json", route
        else:
            assert not [part for part in PARTS if part in answer.text], route
            shown += "&lt;b&gt;&amp;" in answer.text
    assert shown >= 3
    assert json.dumps(SCRIPT) in admin.get(f"/api/v1/studies/{hostile}").text


def test_what_somebody_asked_for_is_escaped_in_the_answer(
    anybody: TestClient, sign_in: Callable[[str], Browser]
) -> None:
    """A filter, a name and an address come back as text, or not at all."""
    admin = sign_in(ADMIN).client
    for answer in (
        admin.get("/", params={"text": SCRIPT}),
        admin.get("/", params={"sender": TITLE}),
        admin.get("/", params={"show": SCRIPT}),
        admin.get("/", params={SCRIPT: "1"}),
        admin.get(f"/studies/{SCRIPT}"),
        admin.get(f"/{SCRIPT}"),
        anybody.post("/login", data={"name": SCRIPT[:64], "password": SCRIPT}),
    ):
        assert answer.status_code < 500
        assert answer.headers["content-type"].startswith("text/html")
        assert not [part for part in PARTS if part in answer.text], answer.url


def test_a_reason_is_kept_as_it_was_written_or_refused(sign_in: Callable[[str], Browser], hostile: str) -> None:
    """Two megabytes, nothing at all and characters that no keyboard has: a clear answer, and the page stands."""
    admin = sign_in(ADMIN)
    too_much = {"x" * (LONGEST_REASON + 1): 422, "x" * 2_000_000: 413, "": 422, " \t\n": 422, "a\0b": 422}
    for reason, expected in (too_much | {f"😀{SCRIPT}": 303, "again": 409}).items():
        form = {"csrf_token": admin.csrf_token, "reason": reason, "confirmed": "true"}
        assert admin.client.post(f"/studies/{hostile}/withdraw", data=form).status_code == expected, reason[:20]
        for path in (f"/studies/{hostile}", f"/studies/{hostile}/report", f"/api/v1/studies/{hostile}", "/"):
            assert admin.client.get(path).status_code == 200


def test_a_comment_of_two_megabytes_is_refused(sign_in: Callable[[str], Browser], hostile: str) -> None:
    """Whoever wrote it is told, by the page and by the API, and nothing of it is kept."""
    admin = sign_in(ADMIN)
    for path in (f"/studies/{hostile}/verdict", f"/api/v1/studies/{hostile}/verdicts"):
        form = {"csrf_token": admin.csrf_token, "verdict": "agrees", "comment": "x" * 2_000_000}
        assert admin.client.post(path, data=form).status_code == 413
        assert admin.client.post(path, data=form | {"comment": "x" * 60_000}).status_code == 422
    assert admin.client.get(f"/api/v1/studies/{hostile}/verdicts").json()["verdicts"] == []


def test_a_form_of_an_odd_character_set_breaks_nothing(anybody: TestClient) -> None:
    """What cannot be read is refused; half a character is no reason for an error of ours."""
    body = b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n+2AA-\\ud800\r\n--x--\r\n'
    for charset in ("utf-7", "unicode_escape", "utf-16", "idna", "hex", "nonsense", "undefined"):
        kind = f"multipart/form-data; boundary=x; charset={charset}"
        answer = anybody.post("/login", content=body, headers={"Content-Type": kind})
        assert answer.status_code in {400, 401, 422}, charset


def test_a_filter_takes_any_text(sign_in: Callable[[str], Browser], hostile: str) -> None:
    """Wildcards and quotes of SQL are text; what a database cannot keep is said to be so."""
    admin = sign_in(ADMIN).client
    for text in ("\0", "%", "_", "\\", "'", "\u202e", "é" * 16, "\ufffd"):
        for path, field in product(("/", "/api/v1/worklist"), ("text", "sender")):
            answer = admin.get(path, params={field: text, "show": "all"})
            assert answer.status_code in ({200, 422} if text == "\0" else {200}), (path, field, text)
            assert hostile not in answer.text or text == "\0"  # at which SQLite ends a text


def test_a_password_that_is_too_long_is_not_sent_back(anybody: TestClient) -> None:
    """What is wrong with a form is said without what stood in it."""
    answer = anybody.post("/login", data={"name": "reader", "password": "secret" * 100})
    assert answer.status_code == 422
    assert "secret" not in answer.text
