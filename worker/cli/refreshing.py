"""`--watch`: a table that is drawn again in place, until somebody ends it."""

import threading
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text
from sqlalchemy.exc import OperationalError

from worker.cli.common import stop_on_signals
from worker.errors import ConfigurationError

EVERY_SECONDS = 2.0

WatchOption = Annotated[bool, typer.Option("--watch", help="Draw it again every two seconds, until Ctrl-C.")]

Draw = Callable[[], RenderableType]


def require_watchable(console: Console, *, as_json: bool) -> None:
    """Make sure that something can be drawn again in place.

    Raises:
        ConfigurationError: if the output is no terminal, or JSON.
    """
    if as_json or not console.is_terminal:
        raise ConfigurationError("--watch draws on a terminal: leave it out for JSON, files and pipes")


def watch(console: Console, draw: Draw, stop: threading.Event | None = None, *, every: float = EVERY_SECONDS) -> None:
    """Draw something in place until a signal ends it; while the database is away, what was drawn last stays.

    Args:
        console: a terminal, see `require_watchable`.
        draw: reads the database and returns what is to be seen.
        stop: ends it; None: SIGINT and SIGTERM do.
        every: seconds from one drawing to the next.
    """
    stop = stop_on_signals() if stop is None else stop
    shown: RenderableType = Text("")
    with Live(shown, console=console, auto_refresh=False, screen=True, vertical_overflow="crop") as live:
        while not stop.is_set():
            try:
                shown = draw()
                live.update(shown, refresh=True)
            except OperationalError:
                away = Text("the database does not answer; this is how it stood before", style="bold red")
                live.update(Group(away, shown), refresh=True)
            stop.wait(every)
