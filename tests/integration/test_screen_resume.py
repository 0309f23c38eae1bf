"""An interrupted `cxr-triage screen` is gone on with: every file has one line, and nothing that was said is lost."""

import csv
import fcntl
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from dicom_io.phantom import self_test_pixels
from tests.servers.ports import wait_until
from worker.cli.screen import screen

FILES = 60


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """A folder of many films, and one file that is none."""
    folder = tmp_path / "films"
    folder.mkdir()
    Image.fromarray(self_test_pixels()).save(folder / "000.png")
    for number in range(1, FILES):
        (folder / f"{number:03}.png").write_bytes((folder / "000.png").read_bytes())
    (folder / "040.png").write_bytes((folder / "000.png").read_bytes()[:99])
    return folder


def _screen(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(screen)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def _start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "worker.cli", "screen", *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _paths(path: Path) -> list[str]:
    return [Path(json.loads(line)["path"]).name for line in path.read_text().splitlines()]


def _cut_off(process: subprocess.Popen[str], number: signal.Signals, output: Path, after: int) -> str:
    with process:
        wait_until(lambda: _lines(output) >= after or process.poll() is not None, "lines", seconds=120)
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    return told


def test_a_run_that_is_cut_off_twice_is_ended_by_resume(films: Path, tmp_path: Path) -> None:
    """By SIGTERM it says how to go on and leaves whole lines; by SIGKILL it may leave half a line: all are mended."""
    output, table = tmp_path / "out.jsonl", tmp_path / "out.csv"
    command = (films, "--json", output, "--csv", table, "--processes", 1)
    first = _start(*command)
    told = _cut_off(first, signal.SIGTERM, output, 8)
    assert first.returncode == 130, told
    assert "--resume" in told
    assert _paths(output) == sorted(path.name for path in films.iterdir())[: _lines(output)]

    second = _start(*command, "--resume")
    _cut_off(second, signal.SIGKILL, output, _lines(output) + 8)
    assert second.returncode == -signal.SIGKILL
    assert _lines(output) < FILES
    with output.open("a") as file:
        file.write('{"schema": "cxr-tri')

    third = _screen(*command, "--resume")
    assert third.exit_code == 3, third.output
    assert _paths(output) == sorted(path.name for path in films.iterdir())
    with table.open(newline="") as file:
        assert [Path(row["path"]).name for row in csv.DictReader(file)] == _paths(output)
    assert f"SCREENED {FILES - 1}, of which HIGH {FILES - 1}\nUNSCREENED 1: undecodable-pixels 1" in third.stderr


def test_what_was_written_is_not_lost_by_the_same_command(films: Path, tmp_path: Path) -> None:
    """A second run is refused and changes nothing, unless it is told what to do with the first one's lines."""
    output, table = tmp_path / "out.jsonl", tmp_path / "out.csv"
    assert _screen(films / "000.png", "--json", output, "--csv", table).exit_code == 0
    before = output.read_bytes(), table.read_bytes()
    for options in (("--json", output), ("--csv", table)):
        again = _screen(films / "001.png", *options)
        assert again.exit_code == 2
        assert "--resume goes on with it, --overwrite loses it" in again.stderr
    assert (output.read_bytes(), table.read_bytes()) == before
    assert _screen(films / "001.png", "--json", output, "--csv", table, "--overwrite").exit_code == 0
    assert _paths(output) == ["001.png"]
    assert len(table.read_text().splitlines()) == 2


def test_two_runs_do_not_write_one_file(films: Path, tmp_path: Path) -> None:
    """A run that is still going on is not gone on with."""
    output = tmp_path / "out.jsonl"
    with output.open("a") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        second = _screen(films, "--json", output, "--resume")
    assert second.exit_code == 2
    assert "written by another run" in second.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("films", "--resume"), "--resume needs --json FILE"),
        (("films", "--resume", "--json", "-"), "--resume needs --json FILE"),
        ((), "name the files and folders to screen, or --watch"),
        (("films", "--watch", "films"), "name the files and folders to screen, or --watch"),
        (("--watch", "films", "--json", "films/out.jsonl"), "lies in the folder that is watched"),
        (("--watch", "notes.txt"), "notes.txt is no folder"),
        (("films", "--resume", "--json", "notes.txt"), "line 1, is no line of screen --json"),
    ],
)
def test_wrong_usage_is_one_line(
    films: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    """Exit code 2, a line that says what to change, and what was named is left as it was."""
    monkeypatch.chdir(films.parent)
    Path("notes.txt").write_text("dear colleague\nplease")
    result = _screen(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr.replace("\n", " ")
    assert Path("notes.txt").read_text() == "dear colleague\nplease"
    assert not Path("films/out.jsonl").exists()
