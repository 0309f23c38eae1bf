"""Re-screening on PostgreSQL: beside the network alone, without a network, and its memory by the size of the archive.

Rows written to disk are waited for, as in production. `--images N` sets how many films the network looks at.
"""

import argparse
import logging
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sqlalchemy import event
from torch import nn

from tests.benchmarks.archive import fill
from tests.rescreens import Answered
from tests.servers.postgres import postgres
from worker.bootstrap import build_speaker
from worker.champion import put_shipped_model_in_place
from worker.db import Database
from worker.inference import Scores, load_engine
from worker.model.artifact import ModelCard, default_directory, load_card
from worker.model.network import load_network
from worker.model.served import ServedNetwork
from worker.precision import DTYPES
from worker.repository.model_versions import champion
from worker.rescreening.engines import Engines
from worker.rescreening.scoring import Rescreener
from worker.rescreening.starting import Order, Starter
from worker.schema import migrate
from worker.service import Service, utc_now
from worker.settings import Settings

IMAGES = 5000
MEMORY_AT = (1000, 200_000)
RAW_EVERY = 8  # batches; the network alone is timed in between, so that both meet the same load of the machine


class NoNetwork:
    """Answers at once."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card

    def start(self, pixels: NDArray[np.uint8]) -> Answered:
        """Score a batch."""
        return Answered(self.score(pixels))

    def score(self, pixels: NDArray[np.uint8]) -> Scores:
        """Score a batch."""
        count = len(pixels)
        return Scores(np.full(count, -5, np.float32), np.zeros((count, 7, 7), np.float16), np.zeros(count, np.float32))


@dataclass
class SqlClock:
    """Seconds between the sending of statements and commits and their answers, on one thread."""

    seconds: float = 0.0
    statements: int = 0
    _begun: float = field(default=0.0)

    def attach(self, database: Database) -> None:
        """Time everything that this database's engine does."""
        event.listen(database.engine, "before_cursor_execute", self._before)
        event.listen(database.engine, "after_cursor_execute", self._after)
        commit = database.engine.dialect.do_commit

        def timed(connection: Any) -> None:
            begun = time.perf_counter()
            commit(connection)
            self.seconds += time.perf_counter() - begun

        database.engine.dialect.do_commit = timed  # type: ignore[method-assign]

    def _before(self, *_: Any) -> None:
        self._begun = time.perf_counter()

    def _after(self, *_: Any) -> None:
        self.seconds += time.perf_counter() - self._begun
        self.statements += 1


@dataclass
class Alone:
    """The network without anything around it, timed every so many batches."""

    network: nn.Module
    batch: torch.Tensor
    seconds: float = 0.0
    images: int = 0
    _calls: int = 0

    def measure_sometimes(self) -> None:
        """Time one forward pass on data that lies on the device."""
        self._calls += 1
        if self._calls % RAW_EVERY:
            return
        begun = time.perf_counter()
        with torch.inference_mode():
            self.network(self.batch)
        self.seconds += time.perf_counter() - begun
        self.images += len(self.batch)


@contextmanager
def archive(count: int, *, flat: bool) -> Iterator[tuple[Service, list[NDArray[np.uint8]]]]:
    """A service on an archive of films that the shipped model has not seen."""
    card = load_card(default_directory())
    with postgres(durable=True) as server, server.database() as url, tempfile.TemporaryDirectory() as folder:
        database = Database(url)
        migrate(database)
        put_shipped_model_in_place(database, utc_now())
        films = fill(database, count, size=card.input_spec.size, spec_sha256=card.input_spec.sha256, flat=flat)
        yield Service(Settings(data_dir=Path(folder)), database, lambda _task: None), films
        database.dispose()


def rescreen(service: Service, engine: Any, between: Any = lambda: None) -> float:
    """Re-screen the archive; returns the seconds it took."""
    with service.database.read() as session:
        model = champion(session)
    if model is None:
        raise SystemExit("no model is in service")
    engines = Engines(service, lambda: (model, engine), lambda _installed: engine)
    host = Rescreener(service, engines, lambda said: build_speaker(service, said), between)
    Starter(service, "bench").start(Order())
    begun = time.perf_counter()
    while host.score_next_chunk():
        pass
    return time.perf_counter() - begun


def beside_the_network(images: int) -> tuple[float, float]:
    """Images per second of the network alone and of a re-screening, in turns."""
    with archive(images, flat=False) as (service, films):
        engine = load_engine(default_directory(), device="cpu", precision="auto")
        batch = np.stack(films[: service.settings.batch_size])
        engine.score(batch)
        network = ServedNetwork(load_network(default_directory(), engine.card), DTYPES[engine.precision])
        alone = Alone(network, torch.from_numpy(batch))
        seconds = rescreen(service, engine, alone.measure_sometimes) - alone.seconds
        return alone.images / alone.seconds, images / seconds


def without_a_network(images: int) -> tuple[float, float, float]:
    """Milliseconds per image of everything but the network, and of SQL alone; and statements per image."""
    with archive(images, flat=False) as (service, _films):
        clock = SqlClock()
        clock.attach(service.database)
        seconds = rescreen(service, NoNetwork(load_card(default_directory())))
        return 1000 * seconds / images, 1000 * clock.seconds / images, clock.statements / images


def report_peak(count: int) -> None:
    """Print the most memory in MB that this process holds between two batches of an archive of this size."""
    card, most = load_card(default_directory()), [0]

    def look() -> None:
        resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
        most[0] = max(most[0], resident_pages * resource.getpagesize())

    with archive(count, flat=True) as (service, _films):
        rescreen(service, NoNetwork(card), look)
    print(most[0] / 2**20)  # noqa: T201 - read by the parent


def peak(count: int) -> float:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_rescreen", "--peak", str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main(images: int) -> None:
    """Measure and print."""
    table = Table("re-screening", "measured", "to reach", title=f"{images} films, {torch.get_num_threads()} threads")
    outside, sql, statements = without_a_network(images)
    table.add_row("SQL, ms per image", f"{sql:.3f} ({statements:.3f} statements)", "0.1")
    table.add_row("everything but the network, ms per image", f"{outside:.3f}", "")
    raw, whole = beside_the_network(images)
    table.add_row("network alone, images/s", f"{raw:.1f}", "")
    table.add_row("re-screening, images/s", f"{whole:.1f} ({whole / raw:.3f} of it)", "0.9 of it")
    for count in MEMORY_AT:
        table.add_row(f"peak memory of {count:,} images, MB", f"{peak(count):.0f}", "flat")
    Console().print(table)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--images", type=int, default=IMAGES)
    arguments.add_argument("--peak", type=int)
    given = arguments.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    report_peak(given.peak) if given.peak else main(given.images)
