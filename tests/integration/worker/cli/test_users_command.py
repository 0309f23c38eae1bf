"""`users` as an operator runs it, and the first administrator."""

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner, Result

from tests.integration.worker.conftest import opened
from worker.accounts import FIRST_ADMIN, SHORTEST_PASSWORD, Accounts
from worker.cli.main import app
from worker.db import Database
from worker.domain import UserRole
from worker.errors import AccountError
from worker.repository.users import users
from worker.tables import Event
from worker.web_tables import User

Run = Callable[..., Result]
_DRAWN = re.compile(r"shown once: (\S+)")
LONG = "a" * SHORTEST_PASSWORD
USAGE_ERROR = 2
_HOUR = timedelta(hours=1)


@pytest.fixture
def run(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call it with the words of a command; `typed` is what the operator types."""
    config = tmp_path / "settings.toml"
    config.write_text(f'data_dir = "{tmp_path}/data"\ndatabase_url = "{database_url}"\nmin_free_bytes = 0\n')
    monkeypatch.setenv("CXR_CONFIG", str(config))

    def words(*arguments: str, typed: str = "") -> Result:
        return CliRunner().invoke(app, ["users", *arguments], input=typed)

    return words


def test_a_password_is_shown_once_and_kept_nowhere(run: Run, database: Database) -> None:
    """It opens the page until it is changed, and stands neither in the list, the table nor the audit trail."""
    added = run("add", "ann")
    (drawn,) = _DRAWN.findall(added.stdout)
    accounts = Accounts(database)
    assert accounts.sign_in("ann", drawn, lifetime=_HOUR) is not None
    with database.read() as session:
        kept = [*session.scalars(select(Event.detail)), *session.scalars(select(User.password_hash))]
    assert drawn not in f"{kept} {run('list').stdout} {run('list', '--json').stdout}"
    (renewed,) = _DRAWN.findall(run("passwd", "ann").stdout)
    assert accounts.sign_in("ann", drawn, lifetime=_HOUR) is None
    assert accounts.sign_in("ann", renewed, lifetime=_HOUR) is not None


def test_the_list_is_json_for_programs(run: Run) -> None:
    """Name, role and state of everybody, without any secret."""
    run("add", "ann", "--role", "admin")
    run("add", "ris", "--role", "interface")
    run("disable", "ris")
    listed = json.loads(run("list", "--json").stdout)
    assert [(user["name"], user["role"], user["must_change"]) for user in listed] == [
        ("ann", "admin", True),
        ("ris", "interface", False),
    ]
    assert [user["disabled_at"] is None for user in listed] == [True, False]
    assert {key for user in listed for key in user} == {"name", "role", "must_change", "created_at", "disabled_at"}
    run("enable", "ris")
    assert json.loads(run("list", "--json").stdout)[1]["disabled_at"] is None


def test_what_cannot_be_done_is_said_in_one_line(run: Run) -> None:
    """A name that is none or taken, a user that is not there, a password that is too short, or one for a program."""
    run("add", "ann")
    for arguments, typed, told in (
        (("add", ""), "", "1 to 64 letters"),
        (("add", "a b"), "", "1 to 64 letters"),
        (("add", "x" * 65), "", "1 to 64 letters"),
        (("add", "ann\n"), "", "1 to 64 letters"),
        (("add", "<b>"), "", "1 to 64 letters"),
        (("add", "ann"), "", "there is one of that name"),
        (("passwd", "bob"), "", "no user bob"),
        (("disable", "bob"), "", "no user bob"),
        (("enable", "bob"), "", "no user bob"),
        (("add", "bob", "--ask"), "short\nshort\n", "12 to 256 characters"),
        (("passwd", "ann", "--ask"), "short\nshort\n", "12 to 256 characters"),
        (("passwd", "ann", "--ask"), f"{'a' * 257}\n{'a' * 257}\n", "12 to 256 characters"),
        (("add", "ris", "--role", "interface", "--ask"), f"{LONG}\n{LONG}\n", "no password"),
    ):
        refused = run(*arguments, typed=typed)
        assert refused.exit_code == USAGE_ERROR, arguments
        assert told in refused.stderr, arguments
        assert "Traceback" not in refused.output
    assert [user["name"] for user in json.loads(run("list", "--json").stdout)] == ["ann"]


def test_a_password_that_was_asked_for_need_not_be_changed(run: Run) -> None:
    """Only its owner has seen it, and it is not shown."""
    added = run("add", "ann", "--ask", typed=f"{LONG}\n{LONG}\n")
    assert added.exit_code == 0
    assert LONG not in added.output
    assert not json.loads(run("list", "--json").stdout)[0]["must_change"]


def test_the_last_administrator_stays(run: Run) -> None:
    """Nobody would be left to do what only they may; with another one there, or when they are out already, it works."""
    run("add", "ann", "--role", "admin")
    run("add", "bob")
    refused = run("disable", "ann")
    assert (refused.exit_code, "only administrator" in refused.stderr) == (USAGE_ERROR, True)
    run("add", "eve", "--role", "admin")
    assert run("disable", "ann").exit_code == 0
    assert run("disable", "ann").exit_code == 0
    assert run("disable", "eve").exit_code == USAGE_ERROR
    assert run("disable", "bob").exit_code == 0


def test_two_administrators_cannot_keep_each_other_out(database: Database) -> None:
    """At the same moment one of them is told that the other went first."""
    accounts = Accounts(database)
    for name in ("ann", "eve"):
        accounts.add(name, UserRole.ADMIN, by="test")

    def disable(name: str) -> bool:
        try:
            accounts.disable(name, by="test")
        except AccountError:
            return False
        return True

    with ThreadPoolExecutor(2) as both:
        assert sorted(both.map(disable, ("ann", "eve"))) == [False, True]


def test_two_first_starts_make_one_administrator(database: Database, database_url: str) -> None:
    """However many pages come up on a new database at once, one password is shown, and it is the right one."""

    def start(_number: int) -> str | None:
        with opened(database_url) as own:
            return Accounts(own).add_first_admin()

    with ThreadPoolExecutor(4) as pages:
        shown = [password for password in pages.map(start, range(4)) if password is not None]
    assert len(shown) == 1
    assert Accounts(database).sign_in(FIRST_ADMIN, shown[0], lifetime=_HOUR) is not None
    with database.read() as session:
        assert len(users(session)) == 1
