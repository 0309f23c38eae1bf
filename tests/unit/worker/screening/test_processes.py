"""A file that kills, hangs or breaks the process that prepares it is set aside, and the others are prepared."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from dicom_io.phantom import phantom_dataset, self_test_pixels
from worker.errors import ConfigurationError
from worker.model.input_spec import InputSpec
from worker.model.preprocessing import prepare
from worker.screening.processes import PreparingProcesses

# Python runs a module of this name when it starts, so the process that prepares does.
_DEADLY_READING = """
import os, pathlib, signal
read = pathlib.Path.read_bytes
def read_bytes(path):
    if path.name.startswith("killer"):
        os.kill(os.getpid(), signal.SIGKILL)
    if path.name.startswith("once") and not path.with_suffix(".seen").exists():
        path.with_suffix(".seen").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if path.name.startswith("fault"):
        raise RuntimeError("DOE^JANE")
    return read(path)
pathlib.Path.read_bytes = read_bytes
"""


@pytest.fixture
def _deadly_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make files of certain names kill the process that reads them."""
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "sitecustomize.py").write_text(_DEADLY_READING)
    monkeypatch.setenv("PYTHONPATH", str(modules))


@pytest.fixture
def film(tmp_path: Path) -> Callable[[str], Path]:
    """Call it for a film of some name."""

    def save(name: str) -> Path:
        path = tmp_path / name
        Image.fromarray(self_test_pixels()).save(path, format="PNG")
        return path

    return save


@pytest.mark.usefixtures("_deadly_names")
def test_a_file_that_kills_its_process_is_set_aside_and_the_others_are_prepared(film: Callable[[str], Path]) -> None:
    """Every attempt at it ends a process; the files beside it do not notice."""
    files = [film(name) for name in ("a.png", "killer.png", "b.png", "killer-2.png", "c.png")]
    with PreparingProcesses(InputSpec(), 2) as processes, ThreadPoolExecutor(2) as threads:
        facts = [prepared.facts for prepared in threads.map(processes.prepare, files)]
    assert [fact.reason for fact in facts] == [None, "attempts-exhausted", None, "attempts-exhausted", None]
    assert len({fact.content_sha256 for fact in facts}) == 1  # named by its content all the same


@pytest.mark.usefixtures("_deadly_names")
def test_a_process_that_dies_once_costs_nothing(film: Callable[[str], Path]) -> None:
    """What another file's hunger killed is prepared at the second attempt."""
    with PreparingProcesses(InputSpec(), 1) as processes:
        prepared = processes.prepare(film("once.png"))
    assert (prepared.facts.reason, prepared.facts.frames) == (None, 1)


@pytest.mark.usefixtures("_deadly_names")
def test_a_fault_of_ours_is_told_without_what_it_quotes(
    film: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """The place in the code is told, never the text: it may be a patient's name."""
    with PreparingProcesses(InputSpec(), 1, attempts=1) as processes:
        assert processes.prepare(film("fault.png")).facts.reason == "attempts-exhausted"
    told = capfd.readouterr().err
    assert "RuntimeError" in told
    assert "DOE" not in told


@pytest.mark.timeout(30)
def test_a_file_that_never_ends_is_set_aside(tmp_path: Path, film: Callable[[str], Path]) -> None:
    """A decoder that hangs is ended when its time is over; the next file is prepared."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with PreparingProcesses(InputSpec(), 1, seconds_per_file=1) as processes:
        assert processes.prepare(pipe).facts.reason == "attempts-exhausted"
        assert processes.prepare(film("a.png")).facts.frames == 1


def test_what_comes_back_is_what_preparation_makes(tmp_path: Path) -> None:
    """Bytes and words survive the way between the processes, also of a name that is no UTF-8."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9\n.dcm"))
    dataset = phantom_dataset(1, opacity=True, patient_age="004Y")
    dataset.save_as(path, enforce_file_format=True)
    with PreparingProcesses(InputSpec(), 1) as processes:
        prepared = processes.prepare(path)
    assert (prepared.films == prepare(path)).all()
    assert prepared.facts.study_instance_uid == dataset.StudyInstanceUID
    assert prepared.facts.age_years == pytest.approx(4)


@pytest.mark.filterwarnings("ignore:subprocess")
def test_a_process_that_cannot_start_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, film: Callable[[str], Path]
) -> None:
    """A broken installation must not write a night's files off as broken."""
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit(1)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with PreparingProcesses(InputSpec(), 1) as processes, pytest.raises(ConfigurationError, match="could not start"):
        processes.prepare(film("a.png"))
