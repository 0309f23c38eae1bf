"""What `--watch` draws, on a terminal that is a text."""

import io
import threading

import pytest
from rich.console import Console
from rich.text import Text
from sqlalchemy.exc import OperationalError

from worker.cli.refreshing import require_watchable, watch
from worker.errors import ConfigurationError


def _terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=80, height=10, color_system=None)


def _drawn(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_it_is_drawn_again_until_it_is_ended() -> None:
    """Each drawing shows what is there then; the screen before is given back at the end."""
    console, stop, numbers = _terminal(), threading.Event(), iter(("one", "two", "three"))

    def draw() -> Text:
        word = next(numbers)
        if word == "three":
            stop.set()
        return Text(word)

    watch(console, draw, stop, every=0)
    assert [word for word in ("one", "two", "three") if word in _drawn(console)] == ["one", "two", "three"]
    assert "\x1b[?1049h" in _drawn(console)
    assert "\x1b[?1049l" in _drawn(console)


def test_while_the_database_is_away_what_was_drawn_last_stays() -> None:
    """It is told, and drawn anew once the database is back."""
    console, stop, turns = _terminal(), threading.Event(), iter(("before", None, "after"))

    def draw() -> Text:
        word = next(turns)
        if word is None:
            raise OperationalError("SELECT", None, OSError())
        if word == "after":
            stop.set()
        return Text(word)

    watch(console, draw, stop, every=0)
    said = _drawn(console).partition("does not answer")[2]
    assert "before" in said
    assert "after" in said


@pytest.mark.parametrize(("console", "as_json"), [(_terminal(), True), (Console(file=io.StringIO()), False)])
def test_nothing_else_is_watched(console: Console, *, as_json: bool) -> None:
    """JSON and what is no terminal are refused."""
    with pytest.raises(ConfigurationError, match="--watch"):
        require_watchable(console, as_json=as_json)
