"""Which characters of what people write are text."""

import pytest

from worker.free_text import is_text


@pytest.mark.parametrize("written", ["", "a fold\n\tof the skin", "Ärztin 肺炎 \N{LUNGS}", "e\u0301"])
def test_what_people_write_is_text(written: str) -> None:
    """In every script, with line feeds and tabs."""
    assert is_text(written)


@pytest.mark.parametrize("written", ["\0", "\x1b[2J", "\x9b2J", "a\rb", "\x7f", "\ud800"])
def test_what_could_rewrite_a_terminal_is_none(written: str) -> None:
    """Escape sequences in either form, carriage returns, and what no database takes."""
    assert not is_text(written)
