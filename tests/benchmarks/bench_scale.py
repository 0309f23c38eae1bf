"""What the database's answers cost by the size of the archive: 1,000, 100,000 and 1,000,000 studies, in turn.

PostgreSQL waits for the disk, as in production. `--studies` sets other sizes, `--rounds` how often each is measured.
The largest archive takes some 10 GB of disk while it is measured.
"""

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
from rich.console import Console
from rich.table import Table

from tests.benchmarks.day_of_work import Day
from tests.benchmarks.grown_archive import SMALLEST, fill, gigabytes, study_uids
from tests.servers.postgres import PostgresServer, postgres
from tests.studies import FOLDER, PACS, put_in_service
from worker.db import Database
from worker.schema import migrate
from worker.service import Service, utc_now
from worker.settings import Settings
from worker.stating import Speaker

STUDIES = (1000, 100_000, 1_000_000)
ROUNDS = 40
LEAST_GIGABYTES = 0.0005
MOST = 2.0  # times the smallest archive's, at the 95th percentile


@dataclass(frozen=True)
class Archive:
    """A filled database, and a day's work on it."""

    studies: int
    day: Day

    def percentile(self, what: str, percent: float) -> float:
        """Milliseconds that `percent` of the times did not exceed."""
        return 1000 * float(np.percentile(self.day.seconds[what], percent))

    def sizes(self) -> dict[str, float]:
        """Gigabytes by table."""
        return gigabytes(self.day.service.database)


@contextmanager
def archive(server: PostgresServer, studies: int, folder: Path) -> Iterator[Archive]:
    """Fill a database; it is dropped when the block ends."""
    with server.database() as url:
        database = Database(url)
        migrate(database)
        model = put_in_service(database)
        fill(database, studies, model, utc_now())
        service = Service(Settings(data_dir=folder), database, lambda _task: None)
        speaker = Speaker(model, (FOLDER, PACS), shadow=False)
        yield Archive(studies, Day.of(service, speaker, study_uids(database, 1000)))
        database.dispose()


def measure(sizes: Sequence[int], rounds: int, say: Callable[[str], None]) -> tuple[Table, Table, list[str]]:
    """Fill an archive of each size and work on them in turn.

    Args:
        sizes: studies of each archive, the smallest first, none below `SMALLEST`.
        rounds: how often each is worked on.
        say: told of the progress.

    Returns:
        Times, gigabytes, and what exceeds `MOST` times the smallest archive's.
    """
    with ExitStack() as stack:
        server = stack.enter_context(postgres(durable=True))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        archives = []
        for studies in sizes:
            begun = time.monotonic()
            archives.append(stack.enter_context(archive(server, studies, folder)))
            say(f"filled {studies:,} studies in {time.monotonic() - begun:.0f} s")
        for number in range(rounds + 1):
            for one in archives:
                one.day.round()
                if number == 0:  # connections are made, statements planned and pages read for the first time
                    one.day.seconds.clear()
        return _times(archives), _gigabytes(archives), _notes(archives)


def _times(archives: Sequence[Archive]) -> Table:
    heads = (f"{one.studies:,}" for one in archives)
    table = Table("p50 / p95, ms", *heads, "largest / smallest", title="by studies in the archive")
    for what in archives[0].day.seconds:
        cells = (f"{one.percentile(what, 50):.2f} / {one.percentile(what, 95):.2f}" for one in archives)
        table.add_row(what, *cells, f"{_growth(archives, what, 50):.2f} / {_growth(archives, what, 95):.2f}")
    return table


def _gigabytes(archives: Sequence[Archive]) -> Table:
    table = Table("GB", *(f"{one.studies:,}" for one in archives), title="disk, by studies in the archive")
    sizes = [one.sizes() for one in archives]
    largest = {name: size for name, size in sizes[-1].items() if size >= LEAST_GIGABYTES}
    for name in sorted(largest, key=largest.__getitem__, reverse=True):
        table.add_row(name, *(f"{size[name]:.3f}" for size in sizes))
    return table


def _notes(archives: Sequence[Archive]) -> list[str]:
    grown = {what: _growth(archives, what, 95) for what in archives[0].day.seconds}
    return [f"{what}: {times:.2f} times the smallest's" for what, times in grown.items() if times > MOST]


def _growth(archives: Sequence[Archive], what: str, percent: float) -> float:
    return archives[-1].percentile(what, percent) / archives[0].percentile(what, percent)


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--studies", type=int, nargs="+", default=STUDIES)
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    given = arguments.parse_args()
    if min(given.studies) < SMALLEST:
        arguments.error(f"--studies: at least {SMALLEST}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    console = Console(width=None if sys.stdout.isatty() else 120)
    times, sizes, notes = measure(sorted(given.studies), given.rounds, console.print)
    console.print(times, sizes)
    console.print("\n".join(notes) or f"nothing exceeds {MOST:g} times the smallest archive's p95")


if __name__ == "__main__":
    main()
