"""How fast objects are taken in for good: our listener beside DCMTK's storescp and Orthanc, in turn, in the same run.

Ours answers after the file, its name and its rows are on the disk; storescp leaves that to the kernel, so that its
times are also given up to the moment when the disk has everything. All receivers get the same films from the same
sender, which sends PDUs as long as each of them takes and waits for each answer. The last table: parallel senders.
"""

import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from shutil import rmtree

from rich.console import Console
from rich.table import Table

from tests.benchmarks.receivers import Receiver, durable_write, ours, ours_on_postgres, theirs
from tests.benchmarks.sender import drawn_film, send

FILMS, ASSOCIATIONS = 40, (1, 4)
SENDERS, PROCESSES = (1, 4, 16), (1, 2, 4)
LARGE, SMALL = (2500, 2000), (500, 500)  # rows and columns of 2 bytes: 10 MB, 0.5 MB
SYNCED = "DCMTK storescp, then sync"
FLOOR = "write + fsync, no network"
TARGETS = {"DCMTK storescp": 1.5, "Orthanc": 2.5}

Speeds = dict[tuple[str, int], list[float]]


def measure(receiver: Receiver, film: bytearray, count: int, associations: int) -> tuple[float, float, float]:
    """Send films once; returns MB/s until the last answer, MB/s until the disk has all, and the senders' CPU share."""
    receiver.clear()
    os.sync()
    sent = send(receiver.peer, film, count=count, associations=associations)
    megabytes = len(film) * count / 1e6
    before_sync = time.monotonic()
    os.sync()
    synced = sent.seconds + time.monotonic() - before_sync
    return megabytes / sent.seconds, megabytes / synced, sent.processor_seconds / sent.seconds


def floor(folder: Path, film: bytearray) -> float:
    """MB/s of writing the same bytes durably, in one process, without network, hash and database."""
    rmtree(folder, ignore_errors=True)
    os.sync()
    start = time.monotonic()
    durable_write(folder, film, FILMS)
    return len(film) * FILMS / 1e6 / (time.monotonic() - start)


def side_by_side(folder: Path, rounds: int) -> Speeds:
    """Measure all receivers in turn, `rounds` times."""
    speeds: Speeds = defaultdict(list)
    film = drawn_film(*LARGE)
    with ExitStack() as running:
        for name in ("sqlite", "postgres", "theirs"):
            (folder / name).mkdir()
        receivers = [
            running.enter_context(ours(folder / "sqlite", "ours, SQLite")),
            running.enter_context(ours_on_postgres(folder / "postgres")),
            *running.enter_context(theirs(folder / "theirs")),
        ]
        for receiver in receivers:
            measure(receiver, film, 4, 4)
        for _ in range(rounds):
            for associations in ASSOCIATIONS:
                for receiver in receivers:
                    answered, synced, _ = measure(receiver, film, FILMS, associations)
                    speeds[receiver.name, associations].append(answered)
                    if receiver.name == "DCMTK storescp":
                        speeds[SYNCED, associations].append(synced)
                speeds[FLOOR, associations].append(floor(folder / "floor", film))
    return speeds


def show_side_by_side(speeds: Speeds, console: Console) -> None:
    """Print the medians, their range, and the ratios of each round."""
    table = Table(title=f"durable intake: {FILMS} films of 10 MB; MB/s, median (least to most)")
    for column in ("receiver", *(f"{n} association{'s' * (n > 1)}" for n in ASSOCIATIONS)):
        table.add_column(column, justify="left" if column == "receiver" else "right")
    for name in dict.fromkeys(name for name, _ in speeds):
        table.add_row(name, *(_range(speeds[name, n]) for n in ASSOCIATIONS))
    table.add_section()
    for mine in ("ours, SQLite", "ours, PostgreSQL"):
        for other in (*TARGETS, SYNCED, FLOOR):
            wanted = f" (target {TARGETS[other]})" if other in TARGETS else ""
            table.add_row(
                f"{mine} : {other}{wanted}", *(_ratio(speeds[mine, n], speeds[other, n]) for n in ASSOCIATIONS)
            )
    console.print(table)


def _range(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def _ratio(ours_: Sequence[float], others: Sequence[float]) -> str:
    return f"{statistics.median(a / b for a, b in zip(ours_, others, strict=True)):.2f}"


def parallel(folder: Path, rounds: int, console: Console) -> None:
    """Print what several listener processes bring to parallel senders."""
    for megabytes, film, count in (("10 MB", drawn_film(*LARGE), 48), ("0.5 MB", drawn_film(*SMALL), 160)):
        table = Table(title=f"parallel senders of films of {megabytes}: films/s (MB/s), median of {rounds}")
        for column in ("database", "processes", *(f"{n} sender{'s' * (n > 1)}" for n in SENDERS), "senders' cores"):
            table.add_column(column, justify="right")
        for database, start in (("SQLite", ours), ("PostgreSQL", ours_on_postgres)):
            for processes in PROCESSES:
                place = Path(tempfile.mkdtemp(dir=folder))
                name = f"{processes}"
                arguments = (place, name) if start is ours else (place,)
                with start(*arguments, processes=processes) as receiver:
                    table.add_row(database, name, *_row(receiver, film, count, rounds))
                rmtree(place)
        console.print(table)


def _row(receiver: Receiver, film: bytearray, count: int, rounds: int) -> list[str]:
    measure(receiver, film, 16, 16)
    cells, shares = [], []
    for senders in SENDERS:
        runs = [measure(receiver, film, count, senders) for _ in range(rounds)]
        speed = statistics.median(run[0] for run in runs)
        cells.append(f"{speed * 1e6 / len(film):.0f} ({speed:.0f})")
        shares += [run[2] for run in runs]
    return [*cells, f"{statistics.median(shares):.2f}"]


if __name__ == "__main__":
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    output = Console(width=110)
    with tempfile.TemporaryDirectory() as name:
        show_side_by_side(side_by_side(Path(name), repetitions), output)
    with tempfile.TemporaryDirectory() as name:
        parallel(Path(name), max(repetitions // 2, 1), output)
