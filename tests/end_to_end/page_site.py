"""A running service with its page, and visitors whose browser keeps an eye on what it must not see."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page
from pydicom import Dataset
from sqlalchemy import func, select

from dicom_io.phantom import phantom_dataset
from dicom_io.scu import store
from tests.end_to_end.service import RunningService
from tests.models import real_version
from tests.servers.ports import LOOPBACK, accepts, free_port, wait_until
from worker.accounts import Accounts
from worker.champion import champion_in_service, put_shipped_model_in_place, reference_of
from worker.db import Database
from worker.domain import UserRole
from worker.repository.audit import record
from worker.repository.model_versions import CHOSEN, Entry, put_in_service
from worker.schema import migrate
from worker.service import utc_now
from worker.settings import Settings
from worker.tables import Result, Study

PASSWORD = "of the reading room"  # noqa: S105  # pragma: allowlist secret
READER, ADMIN = "reader", "chief"
EVERY_FILM = -50.0  # a threshold that every film reaches
MOST_WAIT = 60_000  # ms, for a first film on a machine that is busy with other tests


@dataclass
class PageSite:
    """A service whose page answers on `url`; every film that is pushed to it is flagged."""

    service: RunningService
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """Where browsers go."""
        return f"http://{LOOPBACK}:{self.port}"

    @cached_property
    def database(self) -> Database:
        """Its database."""
        return Database(Settings(data_dir=self.service.folder / "data").effective_database_url)

    @property
    def first_password(self) -> str:
        """The one-time password that was printed."""
        (password,) = re.findall(r"first sign-in to the page: admin / (\S+)", self.service.log.read_text())
        return str(password)

    def start(self) -> None:
        """Start everything; a reader and an administrator may look as soon as the first administrator was made."""
        (self.service.folder / "data").mkdir()
        self._flag_everything()
        self.service.environment = {"CXR_WEB__ENABLED": "true", "CXR_WEB__PORT": str(self.port)}
        self.service.start()
        wait_until(lambda: accepts(self.port), "the page answering", seconds=60)
        accounts = Accounts(self.database)
        accounts.add(READER, UserRole.READER, by="test", password=PASSWORD)
        accounts.add(ADMIN, UserRole.ADMIN, by="test", password=PASSWORD)

    def push(self, accession_number: str) -> str:
        """Push a film by C-STORE as a study of its own; returns its Study Instance UID."""
        film: Dataset = phantom_dataset(2, kind="CR", rows=256, columns=256, accession_number=accession_number)
        film.StudyInstanceUID, film.SeriesInstanceUID, film.SOPInstanceUID = (_uid() for _ in range(3))
        film.file_meta.MediaStorageSOPInstanceUID = film.SOPInstanceUID
        assert store(self.service.listener, [film], calling_ae_title="PACS1", timeout_seconds=10) == [0]
        return str(film.StudyInstanceUID)

    def flagged_at(self, study_instance_uid: str) -> datetime:
        """When the first result of a study was said."""
        said = select(func.min(Result.created_at)).join(Study).where(Study.study_instance_uid == study_instance_uid)
        with self.database.read() as session:
            return session.scalars(said).one()

    def happen(self) -> None:
        """Let something happen that changes nothing on any page."""
        with self.database.begin() as session:
            record(session, "command", utc_now(), None, command="nothing")

    def stop(self) -> None:
        """Stop as an operator would."""
        self.service.stop()
        self.database.dispose()

    def _flag_everything(self) -> None:
        migrate(self.database)
        put_shipped_model_in_place(self.database, utc_now())
        models = Settings(data_dir=self.service.folder / "data").models_dir
        card = real_version(models / "all", "1.0.0+all", threshold_logit=EVERY_FILM)
        (models / "all").rename(models / card.sha256)
        shipped = champion_in_service(self.database)
        with self.database.begin() as session:
            put_in_service(
                session, reference_of(card), utc_now(), replacing=shipped, location=CHOSEN, entry=Entry.PROMOTED
            )


@dataclass
class Visitor:
    """Somebody at the page.

    Attributes:
        elsewhere: addresses outside the page that the browser asked.
        complaints: errors of scripts and of the console, violations of the policy among them.
    """

    page: Page
    elsewhere: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def sign_in(self, name: str = READER, password: str = PASSWORD) -> None:
        """Fill in the form as it stands."""
        self.page.goto("/login")
        self.page.fill("[name=name]", name)
        self.page.fill("[name=password]", password)
        self.page.press("[name=password]", "Enter")
        self.page.wait_for_url(lambda url: "/login" not in url)

    def open_live_worklist(self) -> None:
        """Look at the worklist until news arrive there."""
        self.page.goto("/")
        self.page.wait_for_selector('[data-live="on"]')

    def wait_for_row(self, study_instance_uid: str) -> None:
        """Wait until the study is on the worklist, raised."""
        self.page.wait_for_selector(row(study_instance_uid) + ".is-raised", timeout=MOST_WAIT)

    def tab_to(self, selector: str, *, most: int = 80) -> None:
        """Press Tab until the focus is there, and not a few times too many."""
        for _ in range(most):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("s => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(f"Tab does not reach {selector}")


def row(study_instance_uid: str) -> str:
    """The selector of a study on the worklist."""
    return f'[id="r-{study_instance_uid}"]'


@contextmanager
def visitor(browser: Browser, site: PageSite, *, colours: str = "dark") -> Iterator[Visitor]:
    """Let somebody come with a fresh browser; at the end nothing may have come from elsewhere or gone wrong."""
    context: BrowserContext = browser.new_context(
        base_url=site.url, color_scheme="light" if colours == "light" else "dark"
    )
    came = Visitor(context.new_page())
    context.on("request", lambda asked: _note(came.elsewhere, asked.url, of=site.url))
    context.on("console", lambda said: _complain(came.complaints, said))
    context.on("weberror", lambda error: came.complaints.append(str(error.error)))
    try:
        yield came
    finally:
        context.close()
    assert not came.elsewhere, came.elsewhere
    assert not came.complaints, came.complaints


def make_site(folder: Path) -> PageSite:
    """A site in a folder, not started."""
    return PageSite(RunningService(folder, toml="", settings={"device": "cpu"}))


def _note(elsewhere: list[str], url: str, *, of: str) -> None:
    if not url.startswith((of + "/", "data:")):
        elsewhere.append(url)


def _complain(complaints: list[str], said: ConsoleMessage) -> None:
    if said.type in {"error", "warning"}:
        complaints.append(said.text)


def _uid() -> str:
    return f"2.25.{uuid.uuid4().int}"
