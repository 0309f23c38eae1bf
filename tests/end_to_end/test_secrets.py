"""A password of the database or the broker is in no log, no answer and no error, also when it is wrong."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from typer.testing import CliRunner

from tests.conftest import REPOSITORY
from tests.servers.ports import LOOPBACK, free_port, wait_until
from tests.servers.postgres import cluster
from tests.servers.redis import serving
from worker.cli.main import app
from worker.db import Database
from worker.schema import migrate
from worker.settings import Settings

SECRET = "hush/Geheim@7%"  # noqa: S105  # pragma: allowlist secret
QUOTED = quote(SECRET, safe="")
PROCESSES = {
    "listen": (sys.executable, "-m", "worker.cli", "listen"),
    "worker": (sys.executable, "-m", "celery", "-A", "worker", "worker", "-Q", "deliver", "--pool", "solo"),
    "beat": (sys.executable, "-m", "celery", "-A", "worker", "beat"),
}
COMMANDS = (["worklist"], ["study", "1.2.3"], ["status"], ["deliveries"], ["models", "list"], ["doctor"])
SECONDS = 60  # longest wait for a process to say what it is to say


@pytest.fixture(scope="module")
def guarded_database() -> Iterator[str]:
    """Address of a real PostgreSQL that asks the account `clerk` for a password."""
    with cluster() as empty:
        rules = empty.folder / "data" / "pg_hba.conf"
        rules.write_text(f"host all clerk {LOOPBACK}/32 scram-sha-256\n{rules.read_text()}")
        with empty.serving():
            yield f"{LOOPBACK}:{empty.port}"


@pytest.fixture(scope="module")
def guarded_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real Redis that asks for another password."""
    port = free_port()
    with serving(tmp_path_factory.mktemp("redis"), port, "--requirepass", "another"):
        yield f"{LOOPBACK}:{port}"


@pytest.fixture
def migrated(tmp_path: Path) -> Path:
    """A data_dir with a database, which a worker looks at before it calls the broker."""
    database = Database(Settings(data_dir=tmp_path).effective_database_url)
    migrate(database)
    database.dispose()
    return tmp_path


def answer(command: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: str) -> str:
    """What a command prints, and the text of a fault that it does not handle."""
    for name, value in {"DATA_DIR": str(folder), **settings}.items():
        monkeypatch.setenv(f"CXR_{name.upper()}", value)
    result = CliRunner().invoke(app, command)
    assert result.exit_code != 0
    return f"{result.output}{result.exception or ''}"


@contextmanager
def process(name: str, folder: Path, **settings: str) -> Iterator[Callable[[], str]]:
    """Run a process of the service; the value tells what it has said so far, or all of it once it has ended."""
    variables = {f"CXR_{key.upper()}": value for key, value in settings.items()}
    own = {"CXR_DATA_DIR": str(folder), "CXR_LOG_LEVEL": "DEBUG", "CXR_LISTENER__PORT": str(free_port())}
    log = folder / "process.log"
    with log.open("wb") as output:
        environment = {**os.environ, **own, **variables}
        command = PROCESSES[name]
        running = subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=REPOSITORY)
    try:
        yield log.read_text
    finally:
        running.kill()
        running.wait()


def assert_hushed(words: str) -> None:
    """Check that neither the secret nor its quoted form is said, and that something was."""
    assert words.strip()
    assert SECRET not in words
    assert QUOTED not in words


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_wrong_password_of_the_database_is_not_said(
    command: list[str], guarded_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command says that the database does not let it in, and no more."""
    url = f"postgresql+psycopg://clerk:{QUOTED}@{guarded_database}/postgres"
    words = answer(command, tmp_path, monkeypatch, database_url=url)
    assert_hushed(words)
    assert "password authentication failed" in words


def test_a_listener_that_is_not_let_in_does_not_say_with_what(guarded_database: str, tmp_path: Path) -> None:
    """Its log, at the level of most words, names the account and the cause."""
    url = f"postgresql+psycopg://clerk:{QUOTED}@{guarded_database}/postgres"
    with process("listen", tmp_path, database_url=url) as said:
        wait_until(lambda: "password authentication failed" in said(), "the cause", seconds=SECONDS)
        assert_hushed(said())


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_a_wrong_password_of_the_broker_is_not_said(name: str, guarded_broker: str, migrated: Path) -> None:
    """Workers and beat keep trying, and say so at the level of most words without the password."""
    with process(name, migrated, broker_url=f"redis://:{QUOTED}@{guarded_broker}/0") as said:
        wait_until(lambda: "invalid username-password" in said().lower(), "the cause", seconds=SECONDS)
        assert_hushed(said())


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+psycopg://clerk:{QUOTED}@host:no-port/cxr",
        f"clerk:{QUOTED}@host",
        f"mysql://clerk:{QUOTED}@host/cxr",
        f"postgresql+psycopg://clerk:{QUOTED}@no.such.host.invalid/cxr",
        f"postgresql+psycopg://clerk@{LOOPBACK}:1/cxr?password={QUOTED}",
        f"postgresql+psycopg://clerk@{LOOPBACK}:1/cxr?password={QUOTED}&nonsense=1",
    ],
    ids=["port", "no-url", "kind", "host", "query", "option"],
)
def test_a_wrong_url_is_told_without_its_password(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong with it."""
    assert_hushed(answer(["worklist"], tmp_path, monkeypatch, database_url=url))


@pytest.mark.parametrize("url", [f"nonsense://:{QUOTED}@host/0", f"redis://:{QUOTED}@host:no-port/0", f":{QUOTED}@"])
def test_a_wrong_url_of_the_broker_is_told_without_its_password(url: str, migrated: Path) -> None:
    """A worker that cannot connect says why."""
    with process("worker", migrated, broker_url=url) as said:
        wait_until(lambda: "Error" in said() or "Cannot connect" in said(), "the cause", seconds=SECONDS)
        assert_hushed(said())
