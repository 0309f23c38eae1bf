"""`cxr-triage screen --watch`: what a modality drops into a folder has its line once, and again when it changes."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from dicom_io.phantom import self_test_pixels
from tests.servers.ports import wait_until


@pytest.fixture
def film(tmp_path: Path) -> bytes:
    """A film as the bytes of a PNG."""
    Image.fromarray(self_test_pixels()).save(tmp_path / "film.png")
    return (tmp_path / "film.png").read_bytes()


@contextmanager
def _watching(folder: Path, output: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "worker.cli", "screen", "--watch", str(folder), "--json", str(output)]
    with log.open("ab") as file:
        process = subprocess.Popen([*command, "--processes", "1"], stdout=subprocess.DEVNULL, stderr=file)
    try:
        begun = log.read_text().count("watching")
        wait_until(lambda: log.read_text().count("watching") > begun, "the watch", seconds=120)
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def _said(output: Path) -> list[tuple[str, str]]:
    lines = [json.loads(line) for line in output.read_text().splitlines()] if output.exists() else []
    return [(Path(line["path"]).name, line["reason"] or line["status"]) for line in lines]


def _wait_for(output: Path, count: int) -> None:
    wait_until(lambda: len(_said(output)) >= count, f"line {count}", seconds=60)


def test_what_is_dropped_is_said_once_and_again_when_it_changes(film: bytes, tmp_path: Path) -> None:
    """A film, one in a new sub-folder, one that comes in halves, one that is replaced, and a share that goes away."""
    folder, output, log = tmp_path / "drop", tmp_path / "out.jsonl", tmp_path / "log"
    folder.mkdir()
    with _watching(folder, output, log):
        (folder / "a.png").write_bytes(film)
        (folder / "room 2").mkdir()
        (folder / "room 2" / "b.png").write_bytes(film)
        (folder / "c.png.tmp").write_bytes(film)
        _wait_for(output, 2)
        (folder / "half.png").write_bytes(film[:999])
        _wait_for(output, 3)
        (folder / "half.png").write_bytes(film)
        _wait_for(output, 4)
        folder.rename(tmp_path / "away")
        wait_until(lambda: "waiting for it" in log.read_text(), "the notice")
        (tmp_path / "away").rename(folder)
        (folder / "c.png.tmp").rename(folder / "c.png")
        _wait_for(output, 5)
    assert sorted(_said(output)[:2]) == [("a.png", "SCREENED"), ("b.png", "SCREENED")]
    assert _said(output)[2:] == [("half.png", "undecodable-pixels"), ("half.png", "SCREENED"), ("c.png", "SCREENED")]
    assert log.read_text().count("waiting for it") == 1
    assert "is there again" in log.read_text()

    Image.fromarray(255 - self_test_pixels()).save(folder / "a.png")
    with _watching(folder, output, log):
        _wait_for(output, 6)
        (folder / "d.png").write_bytes(film)
        _wait_for(output, 7)
    assert [name for name, _ in _said(output)[5:]] == ["a.png", "d.png"]
