"""Who gets in, and who does not."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from tests.integration.worker.conftest import Clock
from tests.integration.worker.web.conftest import ADMIN, PASSWORD, READER, Browser
from tests.integration.worker.web.one_database import database_url  # noqa: F401 - a fixture
from worker.accounts import Accounts
from worker.db import Database
from worker.domain import UserRole
from worker.tables import Event
from worker.web.attempts import MOST_PER_NAME
from worker.web_tables import User, WebSession

SignIn = Callable[[str], Browser]


def _kinds(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(Event.kind).order_by(Event.id)))


def test_a_page_leads_to_the_form_without_a_session(anybody: TestClient) -> None:
    """Nobody sees a page before signing in."""
    answer = anybody.get("/password")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("/studies/2.25.7", "/studies/2.25.7"),
        ("/studies/2.25.7/report", "/studies/2.25.7/report"),
        ("/events", "/"),
        ("//evil.example/studies/2.25.7", "/"),
        ("/studies/2.25.7@evil.example", "/"),
    ],
)
def test_a_link_of_the_ris_is_followed_after_signing_in(anybody: TestClient, asked: str, shown: str) -> None:
    """Also after a wrong password; what is no page of ours leads to the worklist."""
    assert anybody.get("/studies/2.25.7").headers["location"] == "/login?to=/studies/2.25.7"
    form = anybody.get("/login", params={"to": asked}).text
    assert f'name="to" value="{shown}"' in form
    wrong = anybody.post("/login", data={"name": READER, "password": "wrong", "to": asked}).text
    assert f'name="to" value="{shown}"' in wrong
    right = anybody.post("/login", data={"name": READER, "password": PASSWORD, "to": asked})
    assert (right.status_code, right.headers["location"]) == (303, shown)


def test_a_session_is_known_by_its_cookie_only(sign_in: SignIn, database: Database) -> None:
    """The cookie is out of reach of scripts and of forms of other sites, and the database holds only its hash."""
    reader = sign_in(READER)
    assert reader.client.get("/password").status_code == 200
    token = reader.client.cookies["session"]
    with database.read() as session:
        assert token not in session.scalars(select(WebSession.token_sha256)).all()
    again = reader.client.post("/login", data={"name": READER, "password": PASSWORD}).headers["set-cookie"]
    assert "HttpOnly" in again
    assert "SameSite=lax" in again


@pytest.mark.parametrize(("name", "password"), [(READER, "wrong"), ("nobody", PASSWORD), (READER, ""), ("", "")])
def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(
    anybody: TestClient, name: str, password: str
) -> None:
    """The answer does not tell who has an account."""
    answer = anybody.post("/login", data={"name": name, "password": password})
    assert answer.status_code == 401
    assert "do not belong together" in answer.text
    assert "set-cookie" not in answer.headers


def test_ten_wrong_passwords_close_the_door_and_are_recorded_once(anybody: TestClient, database: Database) -> None:
    """The eleventh is not looked at, be it right; another name at the same address is."""
    wrong = {"name": READER, "password": PASSWORD + "x"}
    for _ in range(MOST_PER_NAME):
        assert anybody.post("/login", data=wrong).status_code == 401
    for _ in range(2):
        assert anybody.post("/login", data={"name": READER, "password": PASSWORD}).status_code == 429
    assert anybody.post("/login", data={"name": ADMIN, "password": PASSWORD}).status_code == 303
    assert _kinds(database).count("sign-in-refused") == 1


def test_a_session_ends_with_its_time(sign_in: SignIn, clock: Clock) -> None:
    """A cookie that is older than `session_hours` opens nothing."""
    reader = sign_in(READER)
    clock.advance(hours=12, seconds=1)
    assert reader.client.get("/password").status_code == 303


def test_a_cookie_is_worth_nothing_after_signing_out(sign_in: SignIn) -> None:
    """A cookie that somebody kept opens nothing."""
    reader = sign_in(READER)
    kept = reader.client.cookies["session"]
    assert reader.client.post("/logout", data={"csrf_token": reader.csrf_token}).status_code == 303
    reader.client.cookies.set("session", kept)
    assert reader.client.get("/password").headers["location"] == "/login"


@pytest.mark.parametrize("change", ["disable", "change_password"])
def test_a_user_who_is_kept_out_is_out_at_once(sign_in: SignIn, app: FastAPI, change: str) -> None:
    """A disabled user's session ends, and so does one whose password was changed elsewhere."""
    reader, accounts = sign_in(READER), app.state.accounts
    if change == "disable":
        accounts.disable(READER, by="test")
    else:
        accounts.change_password(READER, None, by="test")
    assert reader.client.get("/password").status_code == 303
    assert reader.client.post("/login", data={"name": READER, "password": PASSWORD}).status_code == 401


def test_a_form_of_another_session_does_nothing(sign_in: SignIn, database: Database) -> None:
    """What another site, or another user's page, makes the browser send is refused."""
    reader, admin = sign_in(READER), sign_in(ADMIN)
    for token in ("", "x", admin.csrf_token, "é"):
        assert reader.client.post("/logout", data={"csrf_token": token}).status_code == 403
    assert reader.client.get("/password").status_code == 200


def test_a_drawn_password_must_be_changed_first(app: FastAPI, anybody: TestClient) -> None:
    """Who signs in with a password that somebody else has seen gets to no other page before it is changed."""
    accounts: Accounts = app.state.accounts
    drawn = accounts.add("new", UserRole.READER, by="test")
    assert drawn is not None
    assert anybody.post("/login", data={"name": "new", "password": drawn}).status_code == 303
    new = Browser(anybody)
    form = {"csrf_token": new.csrf_token, "old": drawn}
    assert anybody.post("/password", data={**form, "new": drawn}).status_code == 422
    assert anybody.post("/password", data={**form, "new": "short"}).status_code == 422
    assert anybody.post("/password", data={**form, "old": "wrong", "new": PASSWORD}).status_code == 401
    assert anybody.post("/password", data={**form, "new": PASSWORD}).status_code == 303
    assert "Somebody else has seen" not in anybody.get("/password").text


def test_the_first_admin_is_made_once(app: FastAPI, database: Database) -> None:
    """Where nobody may look yet, an administrator is made, and never again."""
    accounts: Accounts = app.state.accounts
    assert accounts.add_first_admin() is None
    with database.begin() as session:
        session.execute(update(User).values(name=User.name + "-was"))
        session.query(User).delete()
    assert accounts.add_first_admin() is not None
    assert accounts.add_first_admin() is None


def test_every_answer_forbids_what_comes_from_elsewhere(anybody: TestClient) -> None:
    """Pages, redirects, refusals and files carry the policy; only files that are no secret may be kept."""
    for path in ("/login", "/password", "/nothing", "/static/page.css"):
        headers = anybody.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store")


def test_another_name_for_our_address_is_refused(anybody: TestClient) -> None:
    """A site whose name was pointed at this host cannot read the page in a visitor's browser."""
    assert anybody.get("/login", headers={"host": "evil.example"}).status_code == 400


def test_a_body_that_is_too_large_is_refused(anybody: TestClient) -> None:
    """Told by its length or not, it is not read to its end."""
    parts = (b"x" * 65536 for _ in range(40))
    assert anybody.post("/login", content=parts).status_code == 413
