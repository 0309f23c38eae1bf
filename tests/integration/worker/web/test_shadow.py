"""The shadow report on the page, as a file and as JSON."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.integration.worker.test_shadow import AGREES, answer, judge
from tests.integration.worker.web.conftest import ADMIN, READER, Browser
from tests.markup import Balance
from tests.studies import incoming, receive
from worker.accounts import Accounts
from worker.db import Database
from worker.domain import UserRole
from worker.repository.model_versions import RegisteredModel
from worker.web.shadow import _ONE_AT_A_TIME

SignIn = Callable[[str], Browser]
PATHS = ["/shadow", "/shadow/report.html", "/api/v1/shadow"]


@pytest.fixture
def judged(database: Database, champion: RegisteredModel) -> Database:
    """A study that would have been flagged, and its reader agrees."""
    receive(database, incoming())
    answer(database, champion, flagged=True)
    judge(database, AGREES, flagged=True, reader=READER)
    return database


@pytest.mark.parametrize("name", [READER, ADMIN])
def test_people_see_the_report(judged: Database, sign_in: SignIn, name: str) -> None:
    """The page, the file and the JSON show the same figures; the page loads its style from here and has none in it."""
    client = sign_in(name).client
    page, file, found = (client.get(path) for path in PATHS)
    assert found.json()["rates"]["sensitivity"] == pytest.approx(
        {"part": 1, "whole": 1, "value": 1.0, "low": 0.2065, "high": 1.0}, abs=1e-4
    )
    assert "1 of 1 suspected ones flagged" in page.text
    assert "1 of 1 suspected ones flagged" in file.text
    assert "<style" not in page.text
    assert " style=" not in page.text
    assert "<style" in file.text
    assert file.headers["content-disposition"].startswith('attachment; filename="shadow-')
    assert client.get("/shadow/report.css").headers["content-type"].startswith("text/css")
    balance = Balance()
    balance.feed(page.text)
    assert (balance.open, balance.wrong) == ([], [])


def test_who_would_wait_for_another_report_is_sent_away(
    judged: Database, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many who press the button again and again keep no thread from the worklist."""
    monkeypatch.setattr("worker.web.shadow._TURN_SECONDS", 0.01)
    client = sign_in(READER).client
    with _ONE_AT_A_TIME:
        refused = client.get("/api/v1/shadow")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")
    assert client.get("/api/v1/shadow").status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_nobody_else_sees_it(app: FastAPI, anybody: TestClient, path: str) -> None:
    """Without a session there is the way to the form, or 401; a program's token is refused."""
    assert anybody.get(path).status_code == (401 if path.startswith("/api/") else 303)
    accounts: Accounts = app.state.accounts
    token = accounts.add("ris", UserRole.INTERFACE, by="test")
    refused = anybody.get(path, headers={"Authorization": f"Bearer {token}"})
    assert refused.status_code == 403


def test_the_period_can_be_chosen(judged: Database, sign_in: SignIn) -> None:
    """Days are included; a period without the study is empty, and one that cannot be is refused with what to do."""
    client = sign_in(READER).client
    day = client.get("/api/v1/shadow?since=2026-11-20&until=2026-11-20").json()
    assert (day["since"], day["until"], day["studies"]["flagged"]) == (
        "2026-11-20T00:00:00Z",
        "2026-11-21T00:00:00Z",
        1,
    )
    assert client.get("/api/v1/shadow?since=2026-11-21&until=2026-11-22").json()["studies"]["flagged"] == 0
    turned = client.get("/shadow?since=2026-11-22&until=2026-11-21")
    assert turned.status_code == 400
    assert "turn them round" in turned.text
    for absurd in ("until=9999-12-31", "until=0001-01-01"):
        assert client.get(f"/api/v1/shadow?{absurd}").status_code == 400
    assert client.get("/api/v1/shadow?since=0001-01-01").status_code == 200
    assert client.get("/api/v1/shadow?since=yesterday").status_code == 422
