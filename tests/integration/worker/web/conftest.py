"""The page over a real database, asked as a browser does but without one."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.testclient import TestClient

from worker.accounts import Accounts
from worker.domain import UserRole
from worker.repository.model_versions import RegisteredModel
from worker.service import Service
from worker.web.app import build_app

PASSWORD = "x" * 15
READER, ADMIN = "reader", "admin"


@dataclass
class Browser:
    """Somebody at the page; `client` keeps the cookie."""

    client: TestClient

    @property
    def csrf_token(self) -> str:
        """The token that the forms of this session carry."""
        page = self.client.get("/password").text
        return page.partition('name="csrf_token" value="')[2].partition('"')[0]


@pytest.fixture
def app(service: Callable[..., Service], champion: RegisteredModel) -> FastAPI:
    """The page, with a reader and an administrator who chose their passwords."""
    app = build_app(served := service())
    accounts = app.state.accounts = Accounts(
        served.database, served.now, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    )
    accounts.add(READER, UserRole.READER, by="test", password=PASSWORD)
    accounts.add(ADMIN, UserRole.ADMIN, by="test", password=PASSWORD)
    return app


@pytest.fixture
def anybody(app: FastAPI) -> TestClient:
    """A browser in which nobody is signed in."""
    return TestClient(app, base_url="http://localhost", follow_redirects=False)


@pytest.fixture
def sign_in(app: FastAPI) -> Callable[[str], Browser]:
    """Call it with a name for a browser in which that user is signed in."""

    def signed_in(name: str) -> Browser:
        client = TestClient(app, base_url="http://localhost", follow_redirects=False)
        answer = client.post("/login", data={"name": name, "password": PASSWORD})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        return Browser(client)

    return signed_in
