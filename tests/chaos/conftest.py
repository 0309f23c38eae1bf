"""Services to ill-treat, and the table of what came of it. A short form is part of `make test`."""

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.films import Films
from tests.chaos.outages import Pacs, Postgres, Redis, postgres
from tests.chaos.report import Report
from tests.chaos.scale import Scale
from tests.chaos.service import ChaosService

StartChaos = Callable[..., ChaosService]
Progress = Callable[[str], None]

_REPORT = pytest.StashKey[Report]()
_SCALE = pytest.StashKey[Scale]()
RESULT = Path("chaos.json")  # of the long form, in the working directory


def pytest_configure(config: pytest.Config) -> None:
    """Read the scale once."""
    config.stash[_SCALE] = Scale.from_environment()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test here."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.chaos)
            # pynetdicom leaves a socket that was refused a connection to the garbage collector.
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))
            item.add_marker(pytest.mark.timeout(4 * 3600 if item.config.stash[_SCALE].long else 600))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table after a long run."""
    if config.stash[_SCALE].long and _REPORT in config.stash:
        terminalreporter.write_line(config.stash[_REPORT].markdown())


@pytest.fixture(scope="session")
def scale(pytestconfig: pytest.Config) -> Scale:
    """The bounds of every load loop."""
    return pytestconfig.stash[_SCALE]


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config, scale: Scale, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The rows of this run."""
    pytestconfig.stash[_REPORT] = Report(RESULT if scale.long else tmp_path_factory.mktemp("chaos") / RESULT)
    return pytestconfig.stash[_REPORT]


@pytest.fixture
def dice(scale: Scale) -> random.Random:
    """Every random choice of a test; the same in every run."""
    return random.Random(scale.seed)  # noqa: S311 - not for secrets


@pytest.fixture
def progress(scale: Scale, capfd: pytest.CaptureFixture[str]) -> Progress:
    """Call it to say how far a long run is."""

    def say(text: str) -> None:
        if scale.long:
            with capfd.disabled():
                sys.stderr.write(f"  {text}\n")
                sys.stderr.flush()

    return say


@pytest.fixture(scope="package")
def films(tmp_path_factory: pytest.TempPathFactory) -> Films:
    """Films to push."""
    return Films(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="package")
def start_chaos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartChaos]:
    """Call it to start a service that runs until the tests of this package end; keywords as of `ChaosService`."""
    with ExitStack() as running:

        def start(name: str, **how: Any) -> ChaosService:
            service = ChaosService(tmp_path_factory.mktemp(name), **how)
            running.callback(service.stop)
            service.start()
            return service

        yield start


@pytest.fixture(scope="package")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pacs]:
    """The destination `pacs` of the service `embedded`."""
    server = Pacs(tmp_path_factory.mktemp("pacs"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="package")
def embedded(start_chaos: StartChaos, pacs: Pacs) -> ChaosService:
    """A service on SQLite and the embedded broker, for every test that leaves it whole."""
    return start_chaos("embedded", pacs=pacs)


@dataclass(frozen=True)
class Production:
    """A service on PostgreSQL and Redis, films for it, and these two to be taken away from it."""

    service: ChaosService
    films: Films
    postgres: Postgres
    redis: Redis


@pytest.fixture(scope="package")
def production(start_chaos: StartChaos, scale: Scale, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    """The service of production, for every test that leaves it whole."""
    broker = Redis(tmp_path_factory.mktemp("redis"))
    with postgres() as database:
        broker.start()
        # Nothing is killed here: a row that is claimed twice was claimed wrongly. So no lease may run out.
        leases = {"lease_seconds": 10, "prepare_processes": 2}
        settings = {"database_url": database.url, "broker_url": broker.url, **leases}
        service = start_chaos("production", settings=settings, only=("listener", "beat", *scale.workers))
        films = Films(tmp_path_factory.mktemp("films"), in_scope="score" in scale.workers)
        yield Production(service, films, database, broker)
        service.stop()
        broker.kill()
