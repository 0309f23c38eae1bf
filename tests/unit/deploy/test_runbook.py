"""What deploy/runbook.md names exists: commands, options, settings, log events, metrics, units, headings."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.reference import settings
from tests.runbook import RUNBOOK, opening, steps
from tests.runbook_site import OPENING
from worker.cli.main import app
from worker.domain import ImageState
from worker.metrics.definitions import DEFINITIONS

TEXT = RUNBOOK.read_text()
_QUOTED = re.compile(r"`([^`\n]+)`")
_HYPHENATED = re.compile(r"[a-z]+(?:-[a-z]+)+")
_UNDERSCORED = re.compile(r"[a-z]+(?:[._][a-z]+)*_[a-z]+(?:[._][a-z]+)*")
_METRIC = re.compile(r"(cxr_triage_[a-z_]+)(?:\{.*\})?")
_UNIT = re.compile(r"cxr-triage(?:-[a-z]+)?(?:@[a-z]+)?")
_OF_POSTGRESQL = {"archive_command", "pg_basebackup", "pg_restore", "pg_dump"}
_OF_FILES = {"worker.env", "worker.toml"}


def quoted() -> set[str]:
    """Everything that stands in backticks outside the blocks."""
    return set(_QUOTED.findall(re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)))


@pytest.fixture(scope="module")
def literals(repository: Path) -> set[str]:
    """Every string constant of the program, its names of fields included."""
    found: set[str] = set()
    for package in ("dicom_io", "worker"):
        for path in (repository / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
                elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    found.add(node.target.id)
    return found | {f"image-{state}" for state in ImageState}


def commands() -> Iterator[list[str]]:
    """The words after `cxr-triage`, wherever a command of it stands in a block or in backticks."""
    for text in [*(step.command for step in steps(TEXT)), *quoted()]:
        for part in re.findall(r"(?:^|[\s'(])cxr-triage (?!\|)([a-z][^;|>)&]*)", text):
            yield shlex.split(part.replace("…", ""), posix=True) if part.count("'") % 2 == 0 else part.split()


@pytest.mark.parametrize("words", sorted(commands()), ids=" ".join)
def test_a_command_exists_with_its_options(words: list[str]) -> None:
    """Nobody types a command or an option that there is not."""
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands
        command, words = command.commands[words[0]], words[1:]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known | {"--help"}


def test_every_event_and_code_that_it_names_is_one_of_the_programs(literals: set[str]) -> None:
    """What one is told to look for in the log or in a result can stand there."""
    named = {text for text in quoted() if _HYPHENATED.fullmatch(text) and not _UNIT.fullmatch(text)}
    assert len(named) > 15
    assert named - literals == set()


def test_every_setting_and_column_that_it_names_exists(literals: set[str]) -> None:
    """So do settings, and what commands print."""
    known = {name.strip("[]") for name in re.findall(r"^\| `([^`]+)`", settings(), re.MULTILINE)} | literals
    named = {text for text in quoted() if _UNDERSCORED.fullmatch(text) and not text.startswith("cxr_triage_")}
    assert {"retention.raw_days", "lease_seconds"} <= named
    assert named - known - _OF_POSTGRESQL == set()
    environment = {text for text in re.findall(r"CXR_[A-Z_]+", TEXT) if text != "CXR_CONFIG"}
    assert {name.removeprefix("CXR_").lower().replace("__", ".") for name in environment} <= known


def test_every_metric_that_it_names_exists() -> None:
    """So do metrics."""
    named = {match[1] for text in quoted() if (match := _METRIC.fullmatch(text))}
    assert named
    assert named - set(DEFINITIONS) == set()


def test_every_link_leads_somewhere(repository: Path) -> None:
    """Anchors are headings of it, and files lie there."""
    headings = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert {link[1:] for link in links if link.startswith("#")} <= anchors
    files = {link.partition("#")[0] for link in links} - {""}
    assert [name for name in files if not (repository / "deploy" / name).exists()] == []


def test_every_heading_with_commands_is_tried(repository: Path) -> None:
    """No command stands there that no test types; the opening ones make the shell that the tests have."""
    tested = (repository / "tests/end_to_end/test_runbook.py").read_text()
    headings = {step.heading for step in steps(TEXT)}
    pattern = {heading: re.sub(r"(PostgreSQL|SQLite)$", "{kind}", heading) for heading in headings}
    assert [heading for heading in headings if f'"{pattern[heading]}"' not in tested] == []
    assert [command for command in opening(TEXT) if not OPENING.fullmatch(command)] == []


def test_every_unit_that_it_names_exists(repository: Path) -> None:
    """`systemctl` knows them."""
    folder = repository / "deploy/systemd"
    if not (folder / "cxr-triage.service").exists():
        pytest.skip("no units of the service in deploy/systemd")
    named = {text for text in quoted() if _UNIT.fullmatch(text)} | set(re.findall(r"systemctl \S+ (cxr\S+)", TEXT))
    units = {re.sub(r"@.*", "@", name.strip("`")) for name in named}
    assert [unit for unit in units if not (folder / f"{unit}.service").exists()] == []
