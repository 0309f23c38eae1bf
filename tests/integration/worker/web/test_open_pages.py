"""The page as a process: its health check, and its end while pages are open."""

import signal
import sys
import time
from pathlib import Path

import pytest
import requests

from tests.servers.ports import LOOPBACK, free_port
from tests.servers.processes import running
from worker.accounts import Accounts
from worker.cli.run import _prepare_database
from worker.db import Database
from worker.domain import UserRole
from worker.roles import Role, examine_role
from worker.settings import Settings

STOPS_WITHIN_SECONDS = 10.0


@pytest.fixture
def site(tmp_path: Path) -> Settings:
    """A host whose page nobody serves yet."""
    settings = Settings(data_dir=tmp_path / "data", web={"port": free_port()}, min_free_bytes=0)
    settings.data_dir.mkdir()
    _prepare_database(settings)
    return settings


def _examined(site: Settings) -> str:
    finding = examine_role(Role.WEB, site, lambda: True)
    return finding.problem or finding.answer


def test_the_page_is_well_while_it_answers_and_ends_soon_with_open_pages(site: Settings) -> None:
    """Its health check asks for the form; who listens for news does not keep it from ending."""
    assert "does not answer" in _examined(site)
    token = Accounts(Database(site.effective_database_url)).add("ris", UserRole.INTERFACE, by="test")
    words = ["env", f"CXR_DATA_DIR={site.data_dir}", f"CXR_WEB__PORT={site.web.port}"]
    command = [*words, sys.executable, "-m", "worker.cli", "web"]
    log = site.data_dir / "log"
    with running(command, ready=lambda: "page answers" in _examined(site), log=log) as process:
        address = f"http://{LOOPBACK}:{site.web.port}/events"
        with requests.get(address, headers={"Authorization": f"Bearer {token}"}, stream=True, timeout=10) as open_page:
            lines = open_page.iter_lines()
            assert [next(lines), next(lines)] == [b"retry: 2000", b"data: hello"]
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) in (0, -signal.SIGTERM)
            assert time.monotonic() - began < STOPS_WITHIN_SECONDS
