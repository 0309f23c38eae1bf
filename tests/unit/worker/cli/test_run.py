"""What an operator reads when a command cannot begin."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from worker.cli.main import app
from worker.cli.run import _workers
from worker.settings import Settings

USAGE_ERROR = 2


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, because it takes over signals and logs."""
    command = (sys.executable, "-m", "worker.cli", *arguments)
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_every_destination_may_keep_a_sender_waiting_and_the_sweep_still_runs() -> None:
    """There are more senders than destinations, which are sent one result at a time each."""
    many = [{"kind": "folder", "name": f"f{n}", "path": f"/f{n}"} for n in range(20)]
    words = {len(d): _senders(Settings(destinations=d)) for d in ([], many)}  # type: ignore[arg-type]
    assert words == {0: 8, 20: 22}


def _senders(settings: Settings) -> int:
    (deliver,) = (child for child in _workers(settings) if child.name == "deliver")
    return int(deliver.command[-1])


def test_a_codec_that_kills_its_process_can_hold_up_no_other() -> None:
    """Each preparing process is its own, started again by `serve`, and no child of a pool with a common lock."""
    children = [child for child in _workers(Settings(prepare_processes=3)) if "prepare" in child.command]
    assert [child.name for child in children] == ["prepare-0", "prepare-1", "prepare-2"]
    assert all("solo" in child.command for child in children)
    assert len({child.command for child in children}) == len(children)


def test_a_data_dir_that_cannot_be_made_is_named(tmp_path: Path, repository: Path) -> None:
    """One line with the setting's name, the folder and what is wrong with it, instead of a traceback."""
    (tmp_path / "file").touch()
    config = tmp_path / "settings.toml"
    config.write_text(f'data_dir = "{tmp_path}/file"\n')
    ended = run("serve", "--config", str(config), cwd=repository)
    assert ended.returncode == USAGE_ERROR
    assert ended.stderr == f"cxr-triage: data_dir: cannot make the folder {tmp_path}/file: File exists\n"


def test_a_demo_without_a_film_is_no_success(tmp_path: Path, repository: Path) -> None:
    """A folder in which nothing is a film is named, and nothing is started for it."""
    (tmp_path / "film.dcm").write_text("no film")
    ended = run("demo", "--data", str(tmp_path), cwd=repository)
    assert ended.returncode == USAGE_ERROR
    assert f"{tmp_path}: no DICOM, PNG or JPEG file in it can be read" in ended.stderr


def test_a_worker_alone_is_the_one_that_serve_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`cxr-triage work` becomes that process, so that units, containers and `serve` cannot come to differ."""
    started: list[list[str]] = []
    monkeypatch.setattr("os.execvp", lambda _program, words: started.append(list(words)))
    monkeypatch.setenv("CXR_DATA_DIR", str(tmp_path))
    settings = Settings(data_dir=tmp_path, prepare_processes=2)
    children = [child for child in _workers(settings) if "-Q" in child.command]
    for child in children:
        assert CliRunner().invoke(app, ["work", child.name]).exit_code == 0
    assert started == [list(child.command) for child in children]
    assert [words[words.index("-n") + 1] for words in started] == [f"{child.name}@%h" for child in children]


def test_a_worker_of_no_queue_is_refused(tmp_path: Path, repository: Path) -> None:
    """The queues there are stand in the answer."""
    ended = run("work", "scores", cwd=repository)
    assert ended.returncode == USAGE_ERROR
    assert "no queue scores: name one of prepare, score, deliver, train" in ended.stderr
