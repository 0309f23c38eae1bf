"""The units that are installed on real hosts."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from training.cli import app
from worker import retraining
from worker.sections import RetrainingSettings

UNIT = "cxr-train-refresh"
WORDS = {"DATA": "new.csv", "OLD": "old films", "LOCKED": "locked", "SITE": "s1"}
STAND_IN = '#!/bin/sh\nif [ "$2" = path ]; then echo "/models/in service"; else printf "%s\\n" "$@"; fi\n'


@pytest.fixture
def folder(repository: Path) -> Path:
    """Where the units lie."""
    return repository / "deploy" / "systemd"


def options_of(words: list[str]) -> dict[str, str]:
    """The options of a command line, each with its value."""
    return dict(zip(words[::2], words[1::2], strict=True))


@pytest.mark.parametrize("kind", ["service", "timer"])
def test_systemd_finds_nothing_wrong_with_a_unit(folder: Path, kind: str) -> None:
    """Every directive is known and has a value that it takes."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze here: on Debian it comes with the package systemd")
    checked = subprocess.run(
        [program, "verify", folder / f"{UNIT}.{kind}"], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_unit_trains_on_from_the_model_in_service(folder: Path, tmp_path: Path) -> None:
    """Its command asks cxr-triage for that model, and hands the films of refresh.env over, one word each."""
    for name in ("cxr-triage", "cxr-train"):
        (tmp_path / name).write_text(STAND_IN)
        (tmp_path / name).chmod(0o755)
    text = (folder / f"{UNIT}.service").read_text().replace("\\\n", "")
    command = re.search(r"^ExecStart=/bin/sh -ec '(.*)'$", text, re.MULTILINE)
    assert command is not None
    line = command[1].replace("$$", "$").replace("/opt/cxr-triage/.venv/bin", str(tmp_path))
    environment = {**os.environ, **WORDS, "OUTPUT": str(tmp_path / "out put")}
    done = subprocess.run(["/bin/sh", "-ec", line], env=environment, capture_output=True, text=True, check=True)
    verb, *words = done.stdout.splitlines()
    assert verb == "refresh"
    assert options_of(words) == {
        "--data": "new.csv",
        "--old": "old films",
        "--locked": "locked",
        "--output": str(tmp_path / "out put"),
        "--site": "s1",
        "--champion": "/models/in service",
    }


def test_the_example_names_every_variable_of_the_unit(folder: Path) -> None:
    """None is left empty by who copies it."""
    unit = (folder / f"{UNIT}.service").read_text()
    used = set(re.findall(r"\$\$([A-Z]+)", unit))
    example = dict(re.findall(r"^([A-Z]+)=(.+)$", (folder / "refresh.env.example").read_text(), re.MULTILINE))
    assert set(example) == used == {*WORDS, "OUTPUT"}


def test_cxr_train_takes_what_the_unit_and_the_worker_hand_over(folder: Path) -> None:
    """The options are those of `cxr-train refresh`."""
    helped = CliRunner().invoke(app, ["refresh", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    if helped.exit_code:
        pytest.skip("this version of cxr-train has no refresh")
    paths = {name: Path(name) for name in ("data", "old", "locked", "output")}
    command = retraining.refresh_command(RetrainingSettings(at="02:30", site="s1", **paths), Path("elsewhere"))
    words = set(re.findall(r"--[a-z]+", (folder / f"{UNIT}.service").read_text())) - {"--nonblock", "--help"}
    assert words == {word for word in command if word.startswith("--")}
    assert {word for word in words if word not in helped.output} == set()
