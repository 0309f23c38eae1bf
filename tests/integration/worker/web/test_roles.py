"""Who gets what: every route of the application, with every role and without a session."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from tests.integration.worker.web.conftest import ADMIN, READER, Browser
from tests.integration.worker.web.one_database import database_url  # noqa: F401 - a fixture
from tests.integration.worker.web.routes import OPEN, PEOPLE, WHO_MAY, routes
from tests.studies import STUDY, incoming, prepare, receive, score_everything, state
from worker.db import Database
from worker.domain import UserRole
from worker.repository.model_versions import RegisteredModel
from worker.stating import Speaker
from worker.tables import Event
from worker.web.access import CSRF_HEADER
from worker.web.live import MOST_LISTENERS

ACCESSION = "ACC1"
SignIn = Callable[[str], Browser]
Visitors = dict[UserRole, TestClient]


@pytest.fixture
def study(database: Database, champion: RegisteredModel, speaker: Speaker) -> str:
    """A flagged study."""
    receive(database, incoming(accession_number=ACCESSION))
    prepare(database)
    score_everything(database, champion, flagged=["2.25.11"])
    state(database, speaker.state_finding)
    return STUDY


@pytest.fixture
def visitors(app: FastAPI, sign_in: SignIn, study: str) -> Visitors:
    """Somebody of each role, who sends what their pages would send; the stream of news ends at once."""
    app.state.news.listeners = MOST_LISTENERS
    token = app.state.accounts.add("ris", UserRole.INTERFACE, by="test")
    program = TestClient(app, base_url="http://localhost", follow_redirects=False)
    program.headers["Authorization"] = f"Bearer {token}"
    people = {UserRole.READER: sign_in(READER), UserRole.ADMIN: sign_in(ADMIN)}
    for person in people.values():
        person.client.headers[CSRF_HEADER] = person.csrf_token
    return {role: person.client for role, person in people.items()} | {UserRole.INTERFACE: program}


def test_the_table_knows_every_route(app: FastAPI) -> None:
    """A route that nobody wrote down who may take it, or that went away, is found here."""
    assert {route.key for route in routes(app)} == WHO_MAY.keys()


def test_without_a_session_there_is_no_data(app: FastAPI, anybody: TestClient, study: str) -> None:
    """Pages lead to the form, the API says 401, and neither says anything of a study; nothing happens."""
    before = _events(app.state.service.database)
    for route in routes(app):
        if WHO_MAY[route.key] == OPEN:
            continue
        answer = anybody.request(route.method, route.path)
        if route.for_programs:
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), route
        else:
            assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/login"), route
        assert ACCESSION not in answer.text
        assert study not in answer.text
    assert _events(app.state.service.database) == before


def test_each_role_gets_what_it_may_and_nothing_else(app: FastAPI, visitors: Visitors) -> None:
    """Where the table says no the answer is 403, or the form of those who have a password."""
    ends = {"/logout", "/password"}  # these end sessions; test_sign_in looks at them
    for route in routes(app):
        if WHO_MAY[route.key] == OPEN or (route.method == "POST" and route.template in ends):
            continue
        for role, client in visitors.items():
            answer = client.request(route.method, route.path)
            refused = answer.status_code in {401, 403} or answer.headers.get("location", "").startswith("/login")
            assert refused == (role not in WHO_MAY[route.key]), (route, role, answer.status_code)
            assert answer.status_code < 500, (route, role)


def test_every_form_is_of_its_own_session(app: FastAPI, sign_in: SignIn, study: str) -> None:
    """A POST with no token, another session's token or half of one's own changes nothing, on every route."""
    reader, admin = sign_in(READER), sign_in(ADMIN)
    before = _events(app.state.service.database)
    posts = [route for route in routes(app) if route.method not in {"GET", "HEAD"} and route.template != "/login"]
    assert len(posts) >= 5
    for route in posts:
        for token in ("", reader.csrf_token, admin.csrf_token[:-1], admin.csrf_token + " "):
            form = admin.client.request(route.method, route.path, data={"csrf_token": token, "reason": "x"})
            header = admin.client.request(route.method, route.path, headers={CSRF_HEADER: token})
            assert (form.status_code, header.status_code) == (403, 403), (route, token)
    assert _events(app.state.service.database) == before


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_cannot_sign_anybody_in(anybody: TestClient, site: str) -> None:
    """A page elsewhere cannot make the browser work under the account of whoever wrote it."""
    form = {"name": READER, "password": "x" * 15}
    assert anybody.post("/login", data=form, headers={"Sec-Fetch-Site": site}).status_code == 403
    assert anybody.post("/login", data=form, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303


def test_no_other_method_does_anything(app: FastAPI, visitors: Visitors) -> None:
    """A route answers its own methods only, however the request dresses up as another."""
    before = _events(app.state.service.database)
    disguise = {"X-HTTP-Method-Override": "POST", "X-Method-Override": "POST"}
    paths = {route.path for route in routes(app)}
    for method in ("HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "PROPFIND"):
        for path in paths:
            answer = visitors[UserRole.ADMIN].request(method, path, headers=disguise)
            assert answer.status_code == 405, (method, path)
            assert "access-control-allow-origin" not in answer.headers
    assert _events(app.state.service.database) == before


def test_a_get_changes_nothing(app: FastAPI, visitors: Visitors) -> None:
    """Whatever a link or a picture on another site leads to, only looking comes of it."""
    before = _events(app.state.service.database)
    for route in routes(app):
        if route.method == "GET":
            visitors[UserRole.ADMIN].get(route.path, params={})
    assert _events(app.state.service.database) == before


def test_a_program_has_no_password_to_change(visitors: Visitors) -> None:
    """The form is for people; a program's token lets it see no form at all."""
    assert WHO_MAY["POST", "/password"] == PEOPLE
    answer = visitors[UserRole.INTERFACE].post("/password", data={"old": "x", "new": "y" * 12})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


def _events(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(Event)) or 0
