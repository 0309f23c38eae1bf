"""What goes wrong in the page itself: told in words, logged without a patient's data."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import text
from structlog.testing import capture_logs

from tests.integration.worker.web.conftest import READER, Browser
from tests.integration.worker.web.one_database import database_url  # noqa: F401 - a fixture
from worker.db import Database
from worker.domain import UserRole
from worker.schema import migrate
from worker.service import Service
from worker.web.app import build_app

SignIn = Callable[[str], Browser]
QUOTED = "Doe^Jane"


@pytest.fixture
def away(service: Callable[..., Service], tmp_path: Path) -> TestClient:
    """A page whose database is gone."""
    return TestClient(build_app(service(on=Database(f"sqlite:///{tmp_path / 'none' / 'none.sqlite'}"))))


def test_a_database_that_is_away_is_told(away: TestClient) -> None:
    """503 and when to ask again: the page does so by itself, a program reads it in the header."""
    away.base_url = "http://localhost"  # type: ignore[assignment]
    away.cookies.set("session", "x" * 43)
    page = away.get("/")
    assert (page.status_code, page.headers["retry-after"]) == (503, "5")
    assert '<meta http-equiv="refresh" content="5">' in page.text
    answer = away.get("/api/v1/worklist")
    assert (answer.status_code, set(answer.json())) == (503, {"detail"})


def test_a_database_that_hangs_is_told_as_one_that_is_away(postgres_url: str, service: Callable[..., Service]) -> None:
    """A page is not waited for as long as somebody holds a table."""
    hanging, other = Database(postgres_url, answer_seconds=3.0), Database(postgres_url)
    migrate(other)
    client = TestClient(build_app(service(on=hanging)), base_url="http://localhost", cookies={"session": "x" * 43})
    with other.begin() as holder:
        holder.execute(text("LOCK TABLE web_sessions IN ACCESS EXCLUSIVE MODE"))
        assert client.get("/").status_code == 503
    assert client.get("/", follow_redirects=False).status_code == 303
    for database in (hanging, other):
        database.dispose()


def test_a_fault_of_ours_is_told_plainly_and_logged_without_what_it_says(app: FastAPI, sign_in: SignIn) -> None:
    """A library's message may quote a header: neither page nor log repeats it; the page keeps its headers."""

    @app.get("/fault")
    @app.get("/api/v1/fault")
    def fault() -> None:
        raise ValueError(QUOTED)

    client = TestClient(app, base_url="http://localhost", raise_server_exceptions=False)
    with capture_logs() as lines:
        page, answer = client.get("/fault"), client.get("/api/v1/fault")
    assert (page.status_code, answer.status_code) == (500, 500)
    assert "in its log" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert set(answer.json()) == {"detail"}
    assert QUOTED not in f"{page.text}{answer.text}{lines}"
    assert [(line["event"], line["path"], line["error"]) for line in lines] == [
        ("page-fault", "/fault", "ValueError"),
        ("page-fault", "/api/v1/fault", "ValueError"),
    ]
    assert sign_in(READER).client.get("/").status_code == 200


def test_the_description_of_the_api_is_for_who_is_signed_in(anybody: TestClient, sign_in: SignIn, app: FastAPI) -> None:
    """Every operation names who may not, what is away, and its errors as one model; pages are not in it."""
    assert anybody.get("/api/v1/openapi.json").status_code == 401
    described = sign_in(READER).client.get("/api/v1/openapi.json").json()
    assert all(path.startswith("/api/v1/") for path in described["paths"])
    assert {f"/api/v1/{path}" for path in ("worklist", "status", "studies/{uid}", "studies/{uid}/withdraw")} <= set(
        described["paths"]
    )
    for operations in described["paths"].values():
        for operation in operations.values():
            assert {"200", "401", "403", "503"} <= set(operation["responses"])
            assert len(operation["security"]) == 2
    token = app.state.accounts.add("ris", UserRole.INTERFACE, by="test")
    assert anybody.get("/api/v1/openapi.json", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_no_data_without_a_session(anybody: TestClient, app: FastAPI) -> None:
    """Every page and every route of the API, but the form to sign in, is closed."""
    open_to_all = {"/login", "/logout", "/password", "/static"}
    for route in app.routes:
        path, methods = getattr(route, "path", ""), getattr(route, "methods", None) or ()
        if path in open_to_all:
            continue
        for method in methods:
            address = path.format(uid="1.2.3", image_id=1, frame=1)
            assert anybody.request(method, address).status_code in (401, 303), (method, path)


def test_styles_are_kept_and_scripts_are_asked_again(anybody: TestClient) -> None:
    """A style whose address names its version is never asked again; a script that another imports is, by its ETag."""
    form = anybody.get("/login").text
    style = form.partition('rel="stylesheet" href="')[2].partition('"')[0]
    assert "immutable" in anybody.get(style).headers["cache-control"]
    script = anybody.get("/static/news.js")
    assert script.headers["cache-control"] == "no-cache"
    assert anybody.get("/static/news.js", headers={"If-None-Match": script.headers["etag"]}).status_code == 304
