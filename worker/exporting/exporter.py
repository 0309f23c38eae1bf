"""The process that Prometheus asks: the union of what all processes of the host counted, and facts from SQL."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass, field
from wsgiref.simple_server import WSGIRequestHandler, make_server

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from worker.errors import ConfigurationError
from worker.exporting.facts import DatabaseFacts, host_facts
from worker.metrics.definitions import DATABASE_UP
from worker.metrics.union import Facts, families, read_union
from worker.sections import MetricsSettings
from worker.service import Service
from worker.settings import Settings

FRESH_SECONDS = 1.0  # two scrapes within it see the same facts
PATIENCE_SECONDS = 4.0  # Prometheus waits for 10 s; a database that says nothing must not cost it the other metrics
CLIENT_SECONDS = 10.0  # longest silence of whoever asks

_log = structlog.get_logger()


@dataclass(eq=False)
class Remembered:
    """Facts of the database, asked at most once a second and by one thread, however many ask here.

    Attributes:
        ask: asks the database; raises SQLAlchemyError if it does not answer.
    """

    ask: Callable[[], Facts]
    clock: Callable[[], float] = time.monotonic
    patience: float = PATIENCE_SECONDS
    _asking: Future[Facts] | None = None
    _asked_at: float = 0.0
    _was_up: bool = True
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "facts"))

    def facts(self) -> Facts:
        """Return what the database says, and whether it said anything."""
        try:
            found = self._answer().result(self.patience)
        except (SQLAlchemyError, TookTooLong) as error:
            self._tell(up=False, error=type(error).__name__)
            return {DATABASE_UP: {(): 0}}
        self._tell(up=True)
        return {**found, DATABASE_UP: {(): 1}}

    def _answer(self) -> Future[Facts]:
        with self._turn:
            now = self.clock()
            if self._asking is None or (self._asking.done() and now - self._asked_at > FRESH_SECONDS):
                self._asking, self._asked_at = self._thread.submit(self.ask), now
            return self._asking

    def _tell(self, *, up: bool, error: str | None = None) -> None:
        if up != self._was_up:
            _log.info("database-answers-again") if up else _log.warning("database-does-not-answer", error=error)
        self._was_up = up


@dataclass(frozen=True)
class HostCollector(Collector):
    """Everything that is served, collected anew at each scrape."""

    settings: Settings
    database: Remembered

    def collect(self) -> Iterator[Metric]:
        """Give every metric that has a value."""
        facts = {**host_facts(self.settings), **self.database.facts()}
        return families(read_union(self.settings.metrics_dir), facts)


def export(service: Service, stop: threading.Event) -> None:
    """Answer Prometheus until `stop` is set, whether or not the database answers.

    Raises:
        ConfigurationError: if no port is set, or it cannot be bound.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(HostCollector(service.settings, Remembered(DatabaseFacts(service).ask)))
    with _server(service.settings.metrics, registry) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        _log.info("exporting-metrics", host=service.settings.metrics.host, port=server.server_port)
        stop.wait()
        server.shutdown()


class _Server(ThreadingWSGIServer):
    daemon_threads = True  # whoever asks and never reads holds up no end


class _Silent(WSGIRequestHandler):
    timeout = CLIENT_SECONDS

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Log no line per scrape."""


def _server(metrics: MetricsSettings, registry: CollectorRegistry) -> ThreadingWSGIServer:
    if metrics.port is None:
        raise ConfigurationError("metrics.port is not set: say on which port Prometheus asks, such as 9464")
    try:
        return make_server(metrics.host, metrics.port, make_wsgi_app(registry), _Server, _Silent)
    except OSError as error:
        raise ConfigurationError(
            f"metrics.port: cannot listen on {metrics.host}:{metrics.port}: {error.strerror}; "
            "free the port, or change metrics.host and metrics.port"
        ) from error
