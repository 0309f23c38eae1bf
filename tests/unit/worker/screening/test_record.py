"""What the JSON lines of an earlier run are taken for."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from worker.domain import ImageState
from worker.errors import ConfigurationError
from worker.model.artifact import default_directory, load_card
from worker.screening.preparation import Facts
from worker.screening.record import NO_BYTES, last_change, read_record
from worker.screening.saying import say

SHA256 = "a" * 64
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CARD = load_card(default_directory())


def _line(path: str, content_sha256: str = SHA256) -> str:
    facts = Facts(content_sha256=content_sha256, state=ImageState.FAILED, reason="truncated")
    return json.dumps(json.loads(say(facts, (), CARD, NOW).to_json()) | {"path": path}) + "\n"


def test_a_torn_last_line_is_not_counted(tmp_path: Path) -> None:
    """Wherever a run was cut off, the whole lines stand, and the rest is not taken for one."""
    whole, torn = _line("a") + _line("b"), _line("c")
    file = tmp_path / "out.jsonl"
    for cut in range(len(torn)):
        file.write_text(whole + torn[:cut])
        record = read_record(file, CARD.sha256)
        assert (record.size, set(record.lines)) == (len(whole), {"a", "b"})


def test_a_name_that_is_no_utf_8_is_known_again(tmp_path: Path) -> None:
    """Its bytes are escapes in the line."""
    (tmp_path / "out.jsonl").write_text(_line("\udce9.png"))
    assert read_record(tmp_path / "out.jsonl", CARD.sha256).has(Path("\udce9.png"), SHA256)


def test_lines_of_another_model_are_refused(tmp_path: Path) -> None:
    """One file does not mix what two models say; the message names the one that wrote it."""
    (tmp_path / "out.jsonl").write_text(_line("a"))
    with pytest.raises(ConfigurationError, match=rf"was written with {CARD.name} {CARD.version} .*--model"):
        read_record(tmp_path / "out.jsonl", "b" * 64)


@pytest.mark.parametrize("line", ["no JSON\n", "{}\n", "[1]\n", '{"path": "a"}\n', "\xff\n"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, line: str) -> None:
    """A mistyped name must not be cut or appended to; the line is named."""
    (tmp_path / "out.jsonl").write_text(_line("a") + line, encoding="latin-1")
    with pytest.raises(ConfigurationError, match="line 2, is no line of screen --json"):
        read_record(tmp_path / "out.jsonl", CARD.sha256)


def test_only_what_cannot_have_changed_is_settled(tmp_path: Path) -> None:
    """A file that is younger than its line, or nearly, is looked into again; so is one that could not be read."""
    (tmp_path / "out.jsonl").write_text(_line("a") + _line("gone", NO_BYTES))
    record = read_record(tmp_path / "out.jsonl", CARD.sha256)
    said = NOW.timestamp()
    assert record.settles(Path("a"), said - 3600)
    assert not record.settles(Path("a"), said - 60)
    assert not record.settles(Path("a"), said + 60)
    assert not record.settles(Path("gone"), said - 3600)
    assert not record.settles(Path("never said"), said - 3600)
    assert not record.settles(Path("a"), last_change(tmp_path / "nowhere"))
