"""Watching a re-screening to its end: a bar with its rate and the time left, on standard error."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

from worker.errors import ConfigurationError, RescreenError
from worker.repository.rescreen_difference import run_view
from worker.repository.rescreen_views import RunView
from worker.repository.rescreening import Run, find_run
from worker.service import Service

POLL_SECONDS = 0.5
NOBODY_AFTER_SECONDS = 20.0  # without a frame scored the command says what may be wrong
INTERRUPTED = 130

Score = Callable[[Callable[[], None]], bool]  # scores a chunk, calling back between two batches


def watch(console: Console, service: Service, run: Run, score: Score | None) -> Run:
    """Wait for a run's end, or bring it about.

    Args:
        console: for the bar; without a terminal only what is wrong is said.
        service: settings and database.
        run: the run.
        score: to score in this process; None to leave it to the score workers.

    Raises:
        ConfigurationError: if it is to be scored here and this host cannot load its model.
    """
    try:
        with _bar(console, service, run) as bar:
            while (present := bar.refresh()).open:
                if score is None or not score(bar.refresh_sometimes):
                    bar.complain(present, here=score is not None)
                    time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        rest = "run it again to go on" if score else "it goes on in the score workers; run it again to see it"
        console.print(f"left re-screening {run.id}: {rest}, or end it with --stop", soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    return present


@dataclass
class _Bar:
    service: Service
    run_id: int
    progress: Progress
    console: Console
    begun: float = field(default_factory=time.monotonic)
    _refreshed: float = 0.0
    _first: int | None = None
    _said: str | None = None

    def __post_init__(self) -> None:
        self._task = self.progress.add_task("re-screening", total=None)

    def refresh(self) -> Run:
        with self.service.database.read() as session:
            run = find_run(session, self.run_id)
            if run is None:
                raise RescreenError(f"re-screening {self.run_id} is gone: its database was replaced")
            view = run_view(session, run)
        self._refreshed, self._first = time.monotonic(), view.done if self._first is None else self._first
        self._show(view)
        return run

    def refresh_sometimes(self) -> None:
        if time.monotonic() > self._refreshed + POLL_SECONDS:
            self.refresh()

    def complain(self, run: Run, *, here: bool) -> None:
        if here and run.last_error is not None:
            raise ConfigurationError(run.last_error)
        waits = f"{self._to_prepare} files are to be prepared again: a prepare worker that sees the spool does it"
        nobody = time.monotonic() > self.begun + NOBODY_AFTER_SECONDS and not self._moved
        hint = "no score worker has begun yet: is `cxr-triage serve` running? --here scores in this command"
        said = run.last_error or (waits if self._to_prepare else hint if nobody and not here else None)
        if said is not None and self._said is None:
            self._said = said
            self.console.print(said, markup=False, highlight=False, soft_wrap=True)

    def _show(self, view: RunView) -> None:
        self._moved, self._to_prepare = view.done > (self._first or 0), view.to_prepare
        self.progress.update(self._task, total=max(view.frames, view.done), completed=view.done)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.0f}/s")


@contextmanager
def _bar(console: Console, service: Service, run: Run) -> Iterator[_Bar]:
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    quiet = not console.is_terminal
    with Progress(
        *columns, console=console, disable=quiet, redirect_stdout=False, speed_estimate_period=60
    ) as progress:
        yield _Bar(service, run.id, progress, console)
