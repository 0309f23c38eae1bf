"""The worklist page with 10,000 open studies on SQLite: its answers, its first paint, its news and its memory.

`--requests` sets how many requests the memory is watched over.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import requests
from playwright.sync_api import Page
from sqlalchemy import insert

from tests.servers.chromium import chromium
from tests.servers.ports import LOOPBACK, accepts, free_port, wait_until
from tests.servers.processes import running
from tests.studies import CR, put_in_service, result, sha256
from worker.accounts import Accounts
from worker.db import Database
from worker.domain import UserRole
from worker.repository.audit import record
from worker.schema import migrate
from worker.service import utc_now
from worker.settings import Settings
from worker.tables import Image, Result, Score, Study

OPEN = 10_000
FLAGGED_EACH = 20
ROUNDS = 30
PASSWORD = "of the bench " * 2  # pragma: allowlist secret
# What the page is held to.
PAINT_MS, NEWS_SECONDS = 300, 1.0


@dataclass(frozen=True)
class PageProcess:
    """The page as a process of its own, and somebody who is signed in."""

    process_id: int
    url: str
    database: Database
    session: requests.Session

    def seconds(self, path: str, **headers: str) -> float:
        """How long an answer takes."""
        begun = time.perf_counter()
        self.session.get(self.url + path, headers=headers, timeout=30).raise_for_status()
        return time.perf_counter() - begun

    def megabytes(self) -> float:
        """What the process keeps in memory."""
        status = Path(f"/proc/{self.process_id}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1000


def fill(database: Database, now: datetime) -> None:
    """Make open studies of the last hours, one image each, some of them flagged."""
    model = put_in_service(database)
    numbers = range(1, OPEN + 1)
    at = {number: now - timedelta(seconds=8 * (OPEN - number) + 60) for number in numbers}
    studies = [_study(number, at[number]) for number in numbers]
    images = [
        {
            "id": n, "study_id": n, "series_instance_uid": f"2.25.{n}.1", "sop_class_uid": CR,
            "sop_instance_uid": f"2.25.{n}.2", "transfer_syntax_uid": "1.2.840.10008.1.2.1",
            "content_sha256": sha256(str(n)), "calling_ae_title": f"PACS{n % 4}", "state": "scored", "warnings": [],
            "withdrawn": False, "urgency": 20, "attempts": 1, "received_at": at[n],
        }
        for n in numbers
    ]  # fmt: skip
    scores = [
        {
            "image_id": n, "content_sha256": sha256(str(n)), "frame": 1, "origin": "live",
            "model_version_id": model.id, "logit": 2.5, "probability": n % 100 / 100, "threshold": 0.31,
            "threshold_logit": -0.8, "flagged": n % FLAGGED_EACH == 0, "scope_distance": 15.0, "strange": False,
            "urgency": 20, "attempts": 1, "created_at": at[n], "scored_at": at[n],
        }
        for n in numbers
    ]  # fmt: skip
    said = [
        {
            "result_uid": f"2.25.{n}.9", "study_id": n, "revision": 1, "model_version_id": model.id,
            "stage": "complete", "flag": result(f"2.25.{n}").to_json(), "created_at": at[n],
        }
        for n in numbers
    ]  # fmt: skip
    with database.begin() as session:
        for table, rows in ((Study, studies), (Image, images), (Score, scores), (Result, said)):
            session.execute(insert(table), rows)


def _study(number: int, at: datetime) -> dict[str, object]:
    flagged = number % FLAGGED_EACH == 0
    return {
        "id": number, "study_instance_uid": f"2.25.{number}", "accession_number": f"ACC{number}", "revision": 1,
        "concluded_revision": 1, "status": "SCREENED", "priority": "HIGH" if flagged else None,
        "priority_reason": "finding" if flagged else None, "synthetic": False, "corrections": 0, "received_at": at,
        "last_received_at": at, "due_at": at,
    }  # fmt: skip


@contextmanager
def page_process(folder: Path) -> Iterator[PageProcess]:
    """Run the page over a filled database until the block ends."""
    settings, port = Settings(data_dir=folder), free_port()
    database = Database(settings.effective_database_url)
    migrate(database)
    fill(database, utc_now())
    Accounts(database).add("bench", UserRole.READER, by="bench", password=PASSWORD)
    toml = folder / "settings.toml"
    toml.write_text(f'data_dir = "{folder}"\n[web]\nport = {port}\n')
    command = [sys.executable, "-m", "worker.cli", "web", "--config", str(toml)]
    with (
        running(command, ready=lambda: accepts(port), log=folder / "page.log") as process,
        requests.Session() as reader,
    ):
        url = f"http://{LOOPBACK}:{port}"
        reader.post(f"{url}/login", data={"name": "bench", "password": PASSWORD}, timeout=30).raise_for_status()
        yield PageProcess(process.pid, url, database, reader)
    database.dispose()


def first_paint(page: Page, url: str) -> float:
    """Milliseconds from the navigation to the first content."""
    page.goto(url, wait_until="load")
    entry = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    wait_until(lambda: page.evaluate(entry) is not None, "a first paint")
    return float(page.evaluate(entry))


def seconds_until_visible(page: Page, database: Database, number: int) -> float:
    """Raise a new study in SQL; returns the seconds until the open worklist shows it."""
    row = _study(OPEN + number, utc_now() - timedelta(days=1)) | {"priority": "HIGH", "priority_reason": "finding"}
    with database.begin() as session:
        session.execute(insert(Study), [row])
        record(session, "result", utc_now(), str(row["study_instance_uid"]), stage="early")
    begun = time.perf_counter()
    page.wait_for_selector(f'[id="r-{row["study_instance_uid"]}"].is-raised', timeout=30_000)
    return time.perf_counter() - begun


def in_a_browser(site: PageProcess) -> None:
    """Print first paint and news as Chromium sees them."""
    with chromium() as browser:
        context = browser.new_context(base_url=site.url)
        (cookie,) = site.session.cookies
        context.add_cookies([{"name": cookie.name, "value": str(cookie.value), "url": site.url}])
        page = context.new_page()
        paints = sorted(first_paint(page, site.url) for _ in range(ROUNDS))
        _tell("first paint of the worklist", "ms", paints, PAINT_MS)
        page.wait_for_selector('[data-live="on"]')
        news = sorted(seconds_until_visible(page, site.database, number) for number in range(1, 11))
        _tell("a new study visible after its flag", "s", news, NEWS_SECONDS)


def _tell(what: str, unit: str, values: list[float], most: float) -> None:
    median, worst = statistics.median(values), max(values)
    sys.stdout.write(f"{what:36} p50 {median:7.2f}   max {worst:7.2f} {unit}   (held to {most:g} {unit})\n")


def memory(site: PageProcess, requests_to_make: int) -> None:
    """Print what the process keeps after a warm-up, and after many requests."""
    paths = ("/", "/api/v1/worklist", "/studies/2.25.77", "/api/v1/status", "/login", "/studies/2.25.77/thumbnail.png")
    ask: Callable[[int], object] = lambda n: site.session.get(site.url + paths[n % len(paths)], timeout=30)  # noqa: E731
    for number in range(min(1000, requests_to_make)):
        ask(number)
    warm = site.megabytes()
    for number in range(requests_to_make):
        ask(number)
    after = site.megabytes()
    sys.stdout.write(f"memory: {warm:.1f} MB after warming up, {after:.1f} MB {requests_to_make} requests later\n")


def main() -> None:
    """Measure everything."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--requests", type=int, default=10_000)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, page_process(Path(folder)) as site:
        sys.stdout.write(f"the page with {OPEN} open studies on SQLite\n")
        for what, path in (
            ("worklist", "/"),
            ("last page of it", "/?page=200"),
            ("worklist as JSON", "/api/v1/worklist"),
        ):
            _tell(f"{what}, server", "ms", sorted(1000 * site.seconds(path) for _ in range(ROUNDS)), PAINT_MS)
        in_a_browser(site)
        memory(site, chosen.requests)


if __name__ == "__main__":
    main()
