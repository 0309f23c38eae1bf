"""Files that processes count into: restarts, deaths, and disks that take nothing."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.exposition import exposed
from worker.metrics.recorder import SIGN_OF_LIFE_SECONDS, Recorder
from worker.metrics.union import ALIVE_SECONDS, read_union

_FAULTS = ("cxr_triage_task_faults_total", ())
_COUNTING = """
import sys, time
from pathlib import Path
from worker.metrics.definitions import FAULTS, MODEL
from worker.metrics.recorder import Recorder
recorder = Recorder(Path(sys.argv[1]), "score")
FAULTS.inc()
MODEL.labels("resnet50", "1.0.0", "aa", "cpu").set(1)
recorder.write()
print("written", flush=True)
time.sleep(60)
"""


@contextmanager
def counting(folder: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has counted one fault and written it; killed at the end of the block."""
    command = [sys.executable, "-c", _COUNTING, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "written\n"
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.json"))


def test_counts_of_killed_processes_go_on_in_those_that_follow(tmp_path: Path) -> None:
    """Two at once have a file each; two later ones take these, and no count is lost; only the living show a model."""
    for round_number in (1, 2):
        with counting(tmp_path), counting(tmp_path):
            union = read_union(tmp_path)
            assert union.samples[_FAULTS] == 2 * round_number
            assert union.alive == {"score": 2}
            models = [dict(key[1])["process"] for key in union.samples if key[0] == "cxr_triage_model_info"]
            assert sorted(models) == ["score-0", "score-1"]
    assert _files(tmp_path) == ["score-0.json", "score-1.json"]
    for file in tmp_path.glob("*.json"):
        os.utime(file, (time.time() - ALIVE_SECONDS - 1,) * 2)
    union = read_union(tmp_path)
    assert (union.samples[_FAULTS], union.alive) == (4, {"score": 0})
    assert not any(key[0] == "cxr_triage_model_info" for key in union.samples)


def test_a_process_that_starts_again_for_ever_leaves_one_file(tmp_path: Path) -> None:
    """And nothing else, however often."""
    for _ in range(300):
        recorder = Recorder(tmp_path, "prepare")
        recorder.write()
        recorder.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["prepare-0.json", "prepare-0.lock"]


def test_a_quiet_process_gives_a_sign_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file is touched, not written anew."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    recorder = Recorder(tmp_path, "beat")
    recorder.write()
    file = tmp_path / "beat-0.json"
    os.utime(file, (0, 0))
    recorder.write()
    assert file.stat().st_mtime == 0
    now[0] += SIGN_OF_LIFE_SECONDS + 1
    recorder.write()
    assert file.stat().st_mtime > 0
    recorder.close()


def test_the_library_keeps_no_mapped_files_whatever_the_environment_says(tmp_path: Path) -> None:
    """Such a file on a full disk would kill the process with SIGBUS."""
    mapped, folder = tmp_path / "mapped", tmp_path / "counted"
    mapped.mkdir()
    with counting(folder, PROMETHEUS_MULTIPROC_DIR=str(mapped)):
        assert list(mapped.iterdir()) == []
        assert "cxr_triage_task_faults_total 1.0" in exposed(folder)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 64 kB that is full to the last byte."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a small disk needs the right to mount a tmpfs: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _fill(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(4096))


def _logged(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if "metrics-" in line]


def test_a_full_disk_is_one_line_and_counts_come_back_when_it_is_freed(
    full_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing half written is left or read; it is told once, and once more when it is over."""
    recorder = Recorder(full_disk, "listener")
    recorder.write()
    kept = (full_disk / "listener-0.json").read_text()
    _fill(full_disk)
    recorder._written = ""  # as if something had been counted
    for _ in range(3):
        recorder.write()
    assert (full_disk / "listener-0.json").read_text() == kept
    assert list(full_disk.glob("*.tmp")) == []
    (told,) = _logged(capsys)
    assert "metrics-not-written" in told
    assert "No space left on device" in told
    (full_disk / "filler").unlink()
    recorder.write()
    assert "metrics-written-again" in _logged(capsys)[0]
    recorder.close()


def test_a_folder_that_cannot_be_is_one_line_and_raises_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file stands where the folder should be; once it is gone, what was counted is written."""
    (tmp_path / "metrics").write_text("in the way")
    recorder = Recorder(tmp_path / "metrics", "deliver")
    for _ in range(3):
        recorder.write()
    assert len(_logged(capsys)) == 1
    (tmp_path / "metrics").unlink()
    recorder.write()
    assert _files(tmp_path / "metrics") == ["deliver-0.json"]
    recorder.close()


@pytest.mark.parametrize("text", ["", "{", "{}", "[[1]]", '[["cxr_triage_task_faults_total", {}, "x"]]', "\ud800"])
def test_a_damaged_file_is_a_start_from_zero(tmp_path: Path, text: str) -> None:
    """A power failure may leave anything; the exporter leaves the file out, the next process writes it anew."""
    (tmp_path / "score-0.json").write_bytes(text.encode(errors="surrogatepass"))
    assert (read_union(tmp_path).samples, read_union(tmp_path).unreadable) == ({}, 1)
    recorder = Recorder(tmp_path, "score")
    recorder.write()
    recorder.close()
    assert _FAULTS in read_union(tmp_path).samples
    assert read_union(tmp_path).unreadable == 0


def test_metrics_that_this_version_does_not_have_are_left_out(tmp_path: Path) -> None:
    """After an upgrade the files of the old version stand there; so do foreign ones."""
    rows = '[["cxr_triage_gone_total", {}, 1], ["cxr_triage_task_faults_total", {"old": "label"}, 1], '
    buckets = '["cxr_triage_score_logit_distance_bucket", {"le": "99"}, 1], ["cxr_triage_task_faults_total", {}, 3]]'
    (tmp_path / "score-0.json").write_text(rows + buckets)
    (tmp_path / "README.json").write_text("{}")
    assert read_union(tmp_path).samples == {_FAULTS: 3.0}


@pytest.mark.parametrize("names", ["*", "*.lock"], ids=["everything", "locks"])
def test_a_folder_that_is_emptied_under_a_process_is_filled_again(names: str, tmp_path: Path) -> None:
    """The next process gets a file of its own: two that write one in turn would let counts jump to and fro."""
    folder = tmp_path / "metrics"
    first, second = Recorder(folder, "score"), Recorder(folder, "score")
    first.write()
    counted = read_union(folder).samples[_FAULTS]
    for file in folder.glob(names):
        file.unlink()
    first.write()
    assert read_union(folder).samples[_FAULTS] == counted
    second.write()
    assert _files(folder) == ["score-0.json", "score-1.json"]
    first.close()
    second.close()


def test_a_folder_that_is_deleted_under_a_process_is_made_again(tmp_path: Path) -> None:
    """And no restart is needed for its counts to be seen."""
    folder = tmp_path / "metrics"
    recorder = Recorder(folder, "score")
    recorder.write()
    shutil.rmtree(folder)
    recorder.write()
    assert _files(folder) == ["score-0.json"]
    recorder.close()
