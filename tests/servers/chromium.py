"""The system's Chromium, driven by Playwright; it downloads nothing and asks nobody."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from tests.servers.programs import require_program

_QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-gpu", "--disable-dev-shm-usage")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the browser for the length of the block; as root it has no sandbox, which it refuses there."""
    program = require_program("chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=list(_QUIET), chromium_sandbox=os.geteuid() != 0
        )
        try:
            yield browser
        finally:
            browser.close()
