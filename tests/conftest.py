"""Fixtures for every test: the shared real images, and real servers on free ports of the loopback interface.

A missing server program skips the tests that need it on a developer's machine and fails them in CI.
"""

import logging
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
import structlog
from pydicom import config

from tests.servers import dcmqrscp as dcmqrscp_server
from tests.servers import http as http_servers
from tests.servers import orthanc as orthanc_server
from tests.servers import ports
from tests.servers import postgres as postgres_server
from tests.servers import redis as redis_server
from tests.servers import storescp as storescp_server

REPOSITORY = Path(__file__).parents[1]

# Read when torch is first imported, here and in every process that a test starts: where cores are shared, a second
# thread mostly waits, and burns its core waiting.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session", autouse=True)
def _no_film_cache() -> Iterator[None]:
    """Tests decode what they read, and leave nothing in the home of whoever runs them."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CXR_FILM_CACHE", "off")
        yield


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """Whatever a test configures of the log, also by running a command, the next one finds it as it was."""
    root = logging.getLogger()
    handlers, level, validation = root.handlers, root.level, config.settings.reading_validation_mode
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
        root.handlers = handlers
        root.setLevel(level)
        config.settings.reading_validation_mode = validation


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the working tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images; its README says what lies there."""
    folder = Path(os.environ.get("TEST_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real images here: put them into ../shared/data or name their folder in TEST_SHARED_DATA")
    return folder


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Call it for a free TCP port of the loopback interface."""
    return ports.free_port


@pytest.fixture(scope="session")
def _postgres() -> Iterator[postgres_server.PostgresServer]:
    with postgres_server.postgres() as server:
        yield server


@pytest.fixture
def postgres_url(_postgres: postgres_server.PostgresServer) -> Iterator[str]:
    """SQLAlchemy URL (psycopg) of an empty PostgreSQL database of this test's own."""
    with _postgres.database() as url:
        yield url


@pytest.fixture(scope="session")
def _redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server.redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def redis_url(_redis: str) -> Iterator[str]:
    """URL of a Redis that is empty when the test starts."""
    redis_server.flush(_redis)
    yield _redis
    redis_server.flush(_redis)


@pytest.fixture
def storescp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[storescp_server.StartStoreScp]:
    """Call it to start DCMTK's storescp; the answer knows ae_title, host, port, folder, files()."""
    with ExitStack() as running:

        def start(*options: str, ae_title: str = "STORESCP", port: int | None = None) -> storescp_server.StoreScp:
            folder = tmp_path_factory.mktemp("storescp")
            return running.enter_context(storescp_server.storescp(folder, *options, ae_title=ae_title, port=port))

        yield start


@pytest.fixture
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[orthanc_server.StartOrthanc]:
    """Call it to start an Orthanc; keywords are keys of its configuration file, e.g. DicomModalities."""
    with ExitStack() as running:

        def start(ae_title: str = "ORTHANC", **configuration: object) -> orthanc_server.Orthanc:
            server = orthanc_server.orthanc(
                tmp_path_factory.mktemp("orthanc"), ae_title=ae_title, configuration=configuration
            )
            return running.enter_context(server)

        yield start


@pytest.fixture
def dcmqrscp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dcmqrscp_server.StartQueryRetrieveScp]:
    """Call it to start DCMTK's dcmqrscp; `destinations` are the AE titles that it may send to, with their ports."""
    with ExitStack() as running:

        def start(
            *options: str, ae_title: str = "DCMQRSCP", destinations: Mapping[str, int] | None = None
        ) -> dcmqrscp_server.QueryRetrieveScp:
            folder = tmp_path_factory.mktemp("dcmqrscp")
            server = dcmqrscp_server.dcmqrscp(folder, *options, ae_title=ae_title, destinations=destinations)
            return running.enter_context(server)

        yield start


@pytest.fixture
def http_server() -> Iterator[http_servers.StartHttp]:
    """Call it to start an HTTP server, with a context one that speaks TLS; the test tells it what to answer."""
    with ExitStack() as running:

        def start(context: ssl.SSLContext | None = None) -> http_servers.HttpServer:
            return running.enter_context(http_servers.http_server(context))

        yield start
