"""The page as a process: what it is refused, and what goes on without it."""

import os
import shutil
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.servers.certificates import Authority
from tests.servers.ports import LOOPBACK, accepts, free_port, wait_until
from tests.servers.processes import running
from worker.cli import run
from worker.errors import ConfigurationError
from worker.settings import Settings
from worker.web.serving import serve_page


@pytest.fixture
def configured(_migrated_sqlite: Path, tmp_path: Path) -> Callable[..., Settings]:
    """Call it with settings of the page, for a service that is there."""
    shutil.copy(_migrated_sqlite, tmp_path / "page.sqlite")

    def settings(**web: object) -> Settings:
        return Settings(data_dir=tmp_path, database_url=f"sqlite:///{tmp_path}/page.sqlite", web=web)  # type: ignore[arg-type]

    return settings


def test_a_port_that_is_taken_is_said_in_one_line(
    configured: Callable[..., Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    """With the port, and what to do; a password that could not be used is not shown."""
    with closing(socket.create_server((LOOPBACK, 0))) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"cannot listen on {LOOPBACK}:{port}: .*; free the port"):
            serve_page(configured(port=port))
    assert "first sign-in" not in capsys.readouterr().err


def test_passwords_do_not_cross_the_network_in_the_clear(configured: Callable[..., Settings]) -> None:
    """Any address but loopback takes HTTPS, or a proxy that speaks it."""
    for host in ("0.0.0.0", "::", "10.0.0.1", "triage.example"):  # noqa: S104 - that is what is refused
        with pytest.raises(ValidationError, match="in the clear"):
            configured(host=host)
    assert configured(host="::1").web.host == "::1"
    with pytest.raises(ValidationError, match=r"in the clear to triage\.example"):
        configured(public_url="http://triage.example")  # a proxy that takes them in the clear
    assert not configured(public_url="http://localhost:8080").web.is_https


def test_a_page_on_every_address_must_be_told_its_name(configured: Callable[..., Settings], tmp_path: Path) -> None:
    """Else every browser would be refused that calls it by its name."""
    tls = {"certificate": tmp_path / "page.pem", "key": tmp_path / "page.key"}
    with pytest.raises(ValidationError, match=r"public_url: 0\.0\.0\.0 is no address"):
        configured(host="0.0.0.0", tls=tls)  # noqa: S104 - that is what is refused
    web = configured(host="0.0.0.0", tls=tls, public_url="https://triage.example:8484").web  # noqa: S104
    assert "triage.example" in web.names
    assert not web.is_behind_a_proxy


def test_files_of_the_certificate_that_cannot_be_used_are_named(
    configured: Callable[..., Settings], tmp_path: Path
) -> None:
    """One that is missing, one that is none, and a key of another certificate."""
    authority = Authority.make(tmp_path, "authority")
    page, other = authority.issue("page"), authority.issue("other")
    (tmp_path / "none.pem").write_text("nothing")
    for certificate, key in (
        (page.certificate, tmp_path / "missing.key"),
        (tmp_path / "missing.pem", page.key),
        (tmp_path / "none.pem", page.key),
        (page.certificate, other.key),
    ):
        with pytest.raises(ConfigurationError, match=r"web\.tls: .*check certificate and key"):
            serve_page(configured(port=free_port(), tls={"certificate": certificate, "key": key}))


def test_https_is_spoken_with_the_certificate_that_was_given(
    configured: Callable[..., Settings], tmp_path: Path
) -> None:
    """A browser that trusts its authority gets the form, and the password is printed to the terminal only."""
    authority = Authority.make(tmp_path, "authority")
    issued, port = authority.issue("page"), free_port()
    tls = f'tls = {{certificate = "{issued.certificate}", key = "{issued.key}"}}'
    top = f'data_dir = "{tmp_path}"\ndatabase_url = "{configured().effective_database_url}"'
    (tmp_path / "settings.toml").write_text(f"{top}\n[web]\nport = {port}\n{tls}\n")
    command = [sys.executable, "-m", "worker.cli", "web", "--config", str(tmp_path / "settings.toml")]
    log = tmp_path / "page.log"
    with running(command, ready=lambda: accepts(port), log=log):
        trusting = ssl.create_default_context(cafile=authority.certificate)
        with urllib.request.urlopen(f"https://localhost:{port}/login", context=trusting, timeout=10) as answer:
            assert "max-age" in answer.headers["strict-transport-security"]
    wait_until(lambda: "first sign-in" in log.read_text(), "the password")


def test_without_the_extra_everything_but_the_page_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A host without the page's packages screens all the same, and `web` says what to install."""
    monkeypatch.setattr(run, "find_spec", lambda _name: None)
    names = [child.name for child in run._workers(Settings(data_dir=tmp_path))]
    assert {"score", "deliver", "beat"} <= set(names)
    assert "web" not in names
    blocked = (
        "import sys; sys.modules['uvicorn'] = None; from worker.cli.main import main; sys.argv[1:] = ['web']; main()"
    )
    environment = {**os.environ, "CXR_DATA_DIR": str(tmp_path)}
    refused = subprocess.run(
        [sys.executable, "-c", blocked, "web"], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert refused.returncode == 2
    assert "install cxr-triage[web]" in refused.stderr
