"""Guessing passwords: by other spellings, other addresses, many at once, and by the time an answer takes."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from tests.integration.worker.web.conftest import ADMIN, PASSWORD, READER, Browser
from tests.integration.worker.web.one_database import database_url  # noqa: F401 - a fixture
from worker.accounts import Accounts
from worker.domain import UserRole
from worker.repository.model_versions import RegisteredModel
from worker.service import Service
from worker.settings import Settings
from worker.tables import Event
from worker.web.app import build_app
from worker.web.attempts import MOST_PER_ADDRESS, MOST_PER_NAME, WINDOW_SECONDS, Attempts
from worker.web.serving import _configuration
from worker.web_tables import WebSession

SPELLINGS = (READER, "READER", "Reader", " reader", "reader ", "reader\t", "reader\0", "read\u200ber", "reader%00")


@dataclass
class CountingHasher:
    """Counts how often a password is looked at, and against which hash."""

    asked: list[str] = field(default_factory=list)

    def hash(self, password: str) -> str:
        """Something that can be told from every other."""
        return f"hash of {password}"

    def verify(self, password_hash: str, password: str) -> bool:
        """Compare, as dearly for everybody."""
        self.asked.append(password_hash)
        if password_hash != f"hash of {password}":
            raise VerifyMismatchError
        return True


def _try(client: TestClient, name: str, password: str = "wrong", **headers: str) -> int:  # noqa: S107
    return client.post("/login", data={"name": name, "password": password}, headers=headers).status_code


def _recorded(service: Service, kind: str) -> list[dict[str, object]]:
    with service.database.read() as session:
        return [event.detail for event in session.scalars(select(Event).where(Event.kind == kind))]


def test_no_other_spelling_of_a_name_opens_the_door(anybody: TestClient) -> None:
    """There is one way to write a name, so the limit of a name is that of the account."""
    assert [_try(anybody, name, PASSWORD) for name in SPELLINGS] == [303] + [401] * (len(SPELLINGS) - 1)


def test_names_by_the_dozen_end_at_the_limit_of_the_address(app: FastAPI, anybody: TestClient) -> None:
    """Who tries one password on many names is stopped as well, and recorded once."""
    answers = Counter(_try(anybody, f"{SPELLINGS[n % len(SPELLINGS)]}{n}") for n in range(MOST_PER_ADDRESS + 5))
    assert answers == {401: MOST_PER_ADDRESS, 429: 5}
    assert _try(anybody, ADMIN, PASSWORD) == 429
    assert _recorded(app.state.service, "sign-in-refused") == [{"user": None, "failures": MOST_PER_ADDRESS}]


def test_many_guesses_at_once_are_as_few_as_one_after_the_other(app: FastAPI) -> None:
    """Requests that wait for their turn do not slip past the limit that was reached meanwhile."""

    def guess(_number: int) -> int:
        return _try(TestClient(app, base_url="http://localhost", follow_redirects=False), READER)

    with ThreadPoolExecutor(16) as guessers:
        answers = Counter(guessers.map(guess, range(40)))
    # Two are looked at at a time.
    assert MOST_PER_NAME <= answers[401] <= MOST_PER_NAME + 1
    assert answers.keys() == {401, 429}


def test_an_address_that_somebody_claims_counts_only_behind_a_proxy(app: FastAPI) -> None:
    """Where the page is asked directly, X-Forwarded-For is not believed."""
    assert not _configuration(Settings(web={}).web, app).proxy_headers
    assert _configuration(Settings(web={"public_url": "https://triage.example"}).web, app).proxy_headers


def test_the_door_opens_again_after_a_while() -> None:
    """A quarter of an hour later a wrong password is forgotten, a right one forgets at once."""
    time = 0.0
    attempts = Attempts(clock=lambda: time)
    for _ in range(MOST_PER_NAME):
        attempts.failed("here", "reader")
    assert not attempts.is_open("here", "reader")
    assert attempts.is_open("elsewhere", "reader")
    time = WINDOW_SECONDS + 1.0
    assert attempts.is_open("here", "reader")
    attempts.failed("here", "reader")
    attempts.succeeded("here", "reader")
    closed = [attempts.failed("here", "reader") for _ in range(MOST_PER_NAME + 1)]
    assert closed == [0] * (MOST_PER_NAME - 1) + [MOST_PER_NAME, 0]


def test_the_time_of_an_answer_does_not_tell_who_has_an_account(app: FastAPI, anybody: TestClient) -> None:
    """Unknown, disabled and known names, and programs, cost one look at a password each."""
    hasher = CountingHasher()
    app.state.accounts = accounts = Accounts(app.state.service.database, app.state.service.now, hasher)  # type: ignore[arg-type]
    accounts.add("away", UserRole.READER, by="test", password=PASSWORD)
    accounts.disable("away", by="test")
    accounts.add("ris", UserRole.INTERFACE, by="test")
    for name in (READER, "nobody", "away", "ris", ""):
        before = len(hasher.asked)
        assert _try(anybody, name) == 401
        assert len(hasher.asked) == before + 1, name


def test_a_stolen_session_guesses_no_password_unseen(app: FastAPI, sign_in: Callable[[str], Browser]) -> None:
    """At the form for another password the door closes after as many, which is recorded; no try opens a session."""
    reader = sign_in(READER)
    form = {"csrf_token": reader.csrf_token, "old": "wrong", "new": "another, longer one"}
    answers = Counter(reader.client.post("/password", data=form).status_code for _ in range(MOST_PER_NAME + 1))
    assert answers == {401: MOST_PER_NAME, 429: 1}
    assert _recorded(app.state.service, "sign-in-refused") == [{"user": READER, "failures": MOST_PER_NAME}]


def test_a_new_password_that_is_refused_leaves_no_session(app: FastAPI, sign_in: Callable[[str], Browser]) -> None:
    """Nobody holds the token of one that was opened to look at the old password; nor did anybody sign in."""
    reader = sign_in(READER)
    form = {"csrf_token": reader.csrf_token, "old": PASSWORD, "new": "short"}
    assert reader.client.post("/password", data=form).status_code == 422
    with app.state.service.database.read() as session:
        assert session.scalar(select(func.count()).select_from(WebSession)) == 1
    assert _recorded(app.state.service, "signed-in") == [{"user": READER}]


def test_a_password_that_changes_while_it_is_looked_at_opens_nothing(app: FastAPI) -> None:
    """Who is signed out everywhere stays out, also with a sign-in that was on its way."""
    accounts: Accounts = app.state.accounts

    class Slow(CountingHasher):
        def verify(self, password_hash: str, password: str) -> bool:
            right = accounts.hasher.verify(password_hash, password)
            accounts.change_password(READER, None, by="test")
            return right

    slow = Accounts(accounts.database, accounts.now, Slow())  # type: ignore[arg-type]
    assert slow.sign_in(READER, PASSWORD, timedelta(hours=1)) is None


def test_a_session_is_not_chosen_by_whoever_comes(app: FastAPI, sign_in: Callable[[str], Browser]) -> None:
    """A cookie from before is no session afterwards, and every sign-in has a token of its own."""
    client = TestClient(app, base_url="http://localhost", follow_redirects=False, cookies={"session": "chosen"})
    assert _try(client, READER, PASSWORD) == 303
    tokens = {client.cookies["session"] for client in (sign_in(READER).client, sign_in(READER).client)}
    assert len(tokens) == 2
    assert "chosen" not in tokens
    client.cookies.clear()
    client.cookies.set("session", "chosen")
    assert client.get("/password").headers["location"] == "/login"


def test_a_changed_password_ends_the_session_it_was_changed_in(sign_in: Callable[[str], Browser]) -> None:
    """The cookie that was there before is worth nothing, the new one is; it names no user."""
    reader, other = sign_in(READER), sign_in(READER)
    before = reader.client.cookies["session"]
    form = {"csrf_token": reader.csrf_token, "old": PASSWORD, "new": "another, longer one"}
    assert reader.client.post("/password", data=form).status_code == 303
    assert reader.client.cookies["session"] != before
    assert reader.client.get("/password").status_code == 200
    assert other.client.get("/password").status_code == 303


@pytest.mark.parametrize(
    ("web", "name", "secure"),
    [
        ({}, "session", False),
        ({"public_url": "https://triage.example"}, "__Host-session", True),
    ],
)
def test_the_cookie_is_held_to_this_host_where_there_is_https(
    service: Callable[..., Service], champion: RegisteredModel, web: dict[str, str], name: str, *, secure: bool
) -> None:
    """`__Host-`, Secure, HttpOnly, SameSite, the whole site, no domain; no answer says the token anywhere else."""
    app = build_app(service(web=web))
    app.state.accounts = accounts = Accounts(
        app.state.service.database, app.state.service.now, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    )
    accounts.add(READER, UserRole.READER, by="test", password=PASSWORD)
    client = TestClient(app, base_url="http://localhost", follow_redirects=False)
    answer = client.post("/login", data={"name": READER, "password": PASSWORD})
    cookie, *flags = answer.headers["set-cookie"].split("; ")
    key, _, token = cookie.partition("=")
    assert (key, "Secure" in flags) == (name, secure)
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(flags)
    assert not [flag for flag in flags if flag.startswith("Domain")]
    assert token not in answer.headers["location"] + answer.text
    assert ("strict-transport-security" in answer.headers) == secure
