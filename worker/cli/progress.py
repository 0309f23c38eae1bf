"""How far a run over many files has come: a bar on a terminal, a line now and then in a log, counts at the end."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from dicom_io.reasons import Reason
from worker.domain import Flag, Priority
from worker.screening.record import Record
from worker.screening.saying import counts_as_lost

LINE_EVERY_SECONDS = 30.0


@dataclass
class Tally:
    """Counts of what was said.

    Attributes:
        named: the paths of the command line.
        reasons: why files were not screened; None for those that were.
        high: files with a priority.
        lost: files in which a film may have been lost.
    """

    named: Sequence[Path]
    reasons: Counter[Reason | None] = field(default_factory=Counter)
    high: int = 0
    lost: int = 0

    def note(self, path: Path, reason: Reason | None, priority: Priority | None) -> None:
        """Count one file."""
        self.reasons[reason] += 1
        self.high += priority is not None
        self.lost += counts_as_lost(path, reason, self.named)

    def note_flag(self, path: Path, flag: Flag) -> None:
        """Count one file by its flag."""
        self.note(path, flag.reason, flag.priority)

    def note_record(self, record: Record) -> None:
        """Count what earlier runs said."""
        for path, said in record.lines.items():
            self.note(Path(path), said.reason, said.priority)

    def summary(self) -> str:
        """Return the counts, a line for each status."""
        unscreened = [(reason, count) for reason, count in self.reasons.most_common() if reason is not None]
        by_reason = ", ".join(f"{reason.value} {count}" for reason, count in unscreened)
        return (
            f"SCREENED {self.reasons[None]}, of which HIGH {self.high}\n"
            f"UNSCREENED {sum(count for _, count in unscreened)}" + (f": {by_reason}" if by_reason else "")
        )


@dataclass
class Pace:
    """How many files are done, and how fast.

    Attributes:
        total: files of the run.
        done: of them, done by now.
        begun_with: done by earlier runs.
        started: when this run began, by `time.monotonic`.
    """

    total: int
    done: int = 0
    begun_with: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """Files per second of this run."""
        return (self.done - self.begun_with) / max(time.monotonic() - self.started, 1e-9)

    def line(self) -> str:
        """Say it in one line, with the time left."""
        left = (self.total - self.done) / self.rate if self.rate else 0.0
        return f"{self.done} of {self.total} files, {self.rate:.1f} files/s, {_duration(left)} left"

    def end(self) -> str:
        """Say it at the end."""
        return f"{self.done} of {self.total} files, {self.rate:.1f} files/s"


class Meter:
    """Shows the pace while it changes."""

    def __init__(self, pace: Pace, bar: Progress | None) -> None:
        self.pace = pace
        self._bar = bar
        self._task = bar.add_task("screening", total=pace.total, completed=pace.done, pace=pace) if bar else None
        self._last_line = time.monotonic()

    def show(self, done: int) -> None:
        """Take in how many files are done."""
        self.pace.done = done
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done)
        elif time.monotonic() - self._last_line >= LINE_EVERY_SECONDS:
            self._last_line = time.monotonic()
            print(f"cxr-triage: {self.pace.line()}", file=sys.stderr, flush=True)  # noqa: T201 - the command's own


@contextmanager
def meter(pace: Pace) -> Iterator[Meter]:
    """Show a bar where standard error is a terminal, else a line every `LINE_EVERY_SECONDS` there."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Meter(pace, None)
        return
    columns = (TextColumn("screening"), BarColumn(), MofNCompleteColumn(), _RateColumn(), TimeRemainingColumn())
    # Lines for people go above the bar; what is piped away stays away from it.
    with Progress(*columns, console=console, redirect_stdout=sys.stdout.isatty(), redirect_stderr=True) as bar:
        yield Meter(pace, bar)


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        pace: Pace = task.fields["pace"]
        return Text(f"{pace.rate:.1f} files/s")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
