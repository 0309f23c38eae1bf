"""The units that are installed on real hosts."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.manifests import unknown_words
from training.cli import app
from worker import retraining, supervisor
from worker.sections import RetrainingSettings
from worker.settings import Settings
from worker.tasks.drain import DRAIN_SECONDS

UNIT = "cxr-train-refresh"
UNITS = (
    *("cxr-triage", "cxr-triage-listen", "cxr-triage-worker@"),
    *("cxr-triage-beat", "cxr-triage-metrics", "cxr-triage-web"),
)
MOST_EXPOSED = 2.5  # of 10; what is left is CUDA's: devices, and memory that is written and run
PROGRAMS = "/opt/cxr-triage/.venv/bin/"
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


@pytest.fixture(scope="module")
def installed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units in a root of their own, where their programs exist."""
    root = tmp_path_factory.mktemp("root")
    units, programs = root / "etc/systemd/system", root / PROGRAMS.strip("/")
    units.mkdir(parents=True)
    programs.mkdir(parents=True)
    for unit in (repository / "deploy/systemd").glob("cxr-triage*.[st]*"):
        (units / unit.name).write_text(unit.read_text().replace(PROGRAMS, f"{programs}/"))
    for program in ("cxr-triage", "celery"):
        (programs / program).symlink_to("/bin/true")
    return units


def systemd_analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze, where there is one."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze here: on Debian it comes with the package systemd")
    return subprocess.run([program, *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", [*(f"{unit}.service" for unit in UNITS), "cxr-triage.target"])
def test_systemd_finds_nothing_wrong_with_a_unit_of_the_service(installed: Path, name: str) -> None:
    """Directives, values, programs and the units that it names."""
    checked = systemd_analyze("verify", "--man=no", installed / name)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_of_the_service_is_hardly_exposed(folder: Path, unit: str) -> None:
    """By systemd's own reckoning of what a process that was taken over could still do."""
    threshold = str(int(10 * MOST_EXPOSED))
    checked = systemd_analyze("security", "--offline=true", f"--threshold={threshold}", folder / f"{unit}.service")
    assert checked.returncode == 0, checked.stdout[-300:]


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_runs_what_exists_and_is_started_again(folder: Path, unit: str) -> None:
    """Its command is this version's; it restarts, and its stop signal reaches the program before anything is killed."""
    (command,) = re.findall(rf"^ExecStart={PROGRAMS}(.*)$", (folder / f"{unit}.service").read_text(), re.MULTILINE)
    for queue in ("prepare-2", "score", "deliver", "train"):
        assert unknown_words(command.replace("%i", queue).split()) == []
    lines = set((folder / f"{unit}.service").read_text().splitlines())
    assert {"Restart=on-failure", "KillMode=mixed", "KillSignal=SIGTERM", "NoNewPrivileges=yes"} <= lines


def test_a_unit_waits_for_what_its_processes_may_still_do(folder: Path) -> None:
    """`serve` is given longer than it gives its children, a worker longer than a lease, which no delivery outlasts."""
    seconds = {
        u: re.search(r"^TimeoutStopSec=(\d+)s$", (folder / f"{u}.service").read_text(), re.MULTILINE) for u in UNITS
    }
    stop = {unit: float(found[1]) for unit, found in seconds.items() if found}
    assert stop["cxr-triage"] > supervisor.STOP_SECONDS
    assert stop["cxr-triage-worker@"] > DRAIN_SECONDS
    assert stop["cxr-triage-worker@"] > Settings().lease_seconds


def test_no_unit_hides_the_gpu(folder: Path) -> None:
    """What scores sees devices: no setting stands in its unit that closes them, by its name or as a side effect."""
    for unit in ("cxr-triage", "cxr-triage-worker@", UNIT):
        text = (folder / f"{unit}.service").read_text()
        assert not re.search(r"^(PrivateDevices|ProtectClock|DeviceAllow|MemoryDenyWriteExecute)=", text, re.MULTILINE)


def test_every_unit_has_the_same_settings(folder: Path) -> None:
    """The file and the environment, which has the database's password: training asks it for the model in service."""
    for unit in (*UNITS, UNIT):
        lines = (folder / f"{unit}.service").read_text().splitlines()
        assert "Environment=CXR_CONFIG=/etc/cxr-triage/worker.toml" in lines, unit
        assert "EnvironmentFile=-/etc/cxr-triage/worker.env" in lines, unit
