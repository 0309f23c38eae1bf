"""Real databases, and a service whose clock and wake-ups the test holds in its hands."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.commitment_client import CALLER, Ear
from tests.commitment_site import Site
from tests.outcomes import Outbox
from tests.servers.ports import LOOPBACK, free_port
from tests.servers.postgres import PostgresServer
from tests.studies import FOLDER, NOW, PACS, put_in_service
from worker.db import Database
from worker.level import SchemaSupport
from worker.purging import Purger
from worker.queues import Queue
from worker.repository.model_versions import RegisteredModel
from worker.schema import migrate
from worker.sections import PeerSettings
from worker.service import Service
from worker.settings import Settings
from worker.stating import Speaker
from worker.table_base import Base


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    time: datetime = NOW

    def __call__(self) -> datetime:
        """The time it shows."""
        return self.time

    def advance(self, **duration: float) -> None:
        """Move it, also backwards; keywords as of `timedelta`."""
        self.time += timedelta(**duration)


@dataclass
class Wakes:
    """The wake-ups that were sent; `watch` is called at each, to see what stands at that moment."""

    queues: list[Queue] = field(default_factory=list)
    watch: Callable[[], None] = lambda: None

    def __call__(self, queue: Queue) -> None:
        """Take a wake-up."""
        self.watch()
        self.queues.append(queue)


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """A database whose connections end with the block."""
    database = Database(url)
    try:
        yield database
    finally:
        database.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of each kind without a table."""
    sqlite = f"sqlite:///{tmp_path / 'test.sqlite'}"
    with opened(sqlite if request.param == "sqlite" else request.getfixturevalue("postgres_url")) as database:
        yield database


@pytest.fixture(scope="session")
def _migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sqlite") / "migrated.sqlite"
    with opened(f"sqlite:///{file}") as database:
        migrate(database)
    return file


@dataclass(frozen=True)
class Kept:
    """A migrated PostgreSQL database that many tests have in turn; new connections would cost more than most tests."""

    url: str
    database: Database

    def empty(self) -> None:
        """Delete every row, and let every number begin at 1 again."""
        rows = Base.metadata.tables.keys() - {SchemaSupport.__tablename__}  # that one belongs to the schema
        with self.database.begin() as session:
            session.execute(text(f"TRUNCATE {', '.join(rows)} RESTART IDENTITY"))


@pytest.fixture(scope="session")
def _migrated_postgres(_postgres: PostgresServer) -> Iterator[Kept]:
    with _postgres.database() as url, opened(url) as database:
        migrate(database)
        yield Kept(url, database)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a migrated database of each kind, without a row; migrated once for all tests, as that takes longest."""
    if request.param == "sqlite":
        file = shutil.copy(request.getfixturevalue("_migrated_sqlite"), tmp_path / "test.sqlite")
        return f"sqlite:///{file}"
    kept: Kept = request.getfixturevalue("_migrated_postgres")
    kept.empty()
    return kept.url


@pytest.fixture
def database(database_url: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A migrated database of each kind, without a row."""
    if database_url.startswith("sqlite"):
        with opened(database_url) as database:
            yield database
    else:
        yield request.getfixturevalue("_migrated_postgres").database


@pytest.fixture
def months(postgres_url: str) -> Iterator[Database]:
    """A PostgreSQL database whose months nobody else makes."""
    with opened(postgres_url) as database:
        migrate(database)
        yield database


@pytest.fixture
def champion(database: Database) -> RegisteredModel:
    """A model in service."""
    return put_in_service(database)


@pytest.fixture
def speaker(champion: RegisteredModel) -> Speaker:
    """Speaks for the model in service, to a folder and a PACS."""
    return Speaker(champion, (FOLDER, PACS), shadow=False)


@pytest.fixture
def clock() -> Clock:
    """The service's clock."""
    return Clock()


@pytest.fixture
def wakes() -> Wakes:
    """The service's wake-ups."""
    return Wakes()


@pytest.fixture
def service(database: Database, clock: Clock, wakes: Wakes, tmp_path: Path) -> Callable[..., Service]:
    """Call it with settings for a service on the database, the clock and the wake-ups of this test."""

    def build(*, on: Database = database, **settings: Any) -> Service:
        values = {"data_dir": tmp_path / "data", "min_free_bytes": 0, **settings}
        return Service(settings=Settings(**values), database=on, wake=wakes, now=clock)

    return build


@pytest.fixture
def site(service: Callable[..., Service]) -> Site:
    """A site whose caller is not there yet: `listening(site.ear)` lets it hear."""
    caller = PeerSettings(ae_title=CALLER, host=LOOPBACK, port=free_port())
    built = service(storage_commitment={"enabled": True, "callers": [caller]}, retention={"raw_days": 10})
    return Site(built, Ear(caller))


@pytest.fixture
def purger(service: Callable[..., Service], clock: Clock) -> Purger:
    """Purges after 14 and 400 days; it is 15 days later."""
    built = service()
    clock.advance(days=15)
    return Purger(built)


@pytest.fixture
def outbox(database: Database, champion: RegisteredModel, service: Callable[..., Service]) -> Outbox:
    """An empty outbox."""
    return Outbox(database, champion, service)
