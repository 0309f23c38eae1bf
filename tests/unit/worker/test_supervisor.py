"""Keeping processes running, and leaving none behind."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.ports import wait_until
from worker import supervisor
from worker.supervisor import FIRST_DELAY_SECONDS, HEALTHY_AFTER_SECONDS, LONGEST_DELAY_SECONDS, Child, Supervisor

SLEEP = ("sleep", "1000")
EXIT = ("sh", "-c", "exit 3")


class Until(threading.Event):
    """Is set as soon as a condition holds; the supervisor asks at each of its rounds."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        super().__init__()
        self._condition = condition

    def wait(self, timeout: float | None = None) -> bool:
        """Look at the condition instead of waiting long."""
        if self._condition():
            self.set()
        return super().wait(min(timeout or 0, 0.02))


def lives(process_id: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def number_in(file: Path) -> int | None:
    """The process id that a child wrote into a file, once it is whole."""
    written = file.read_text() if file.exists() else ""
    return int(written) if written.endswith("\n") else None


def parent_command(folder: Path) -> tuple[str, ...]:
    """A process with a child of its own; both write their numbers into the folder."""
    return ("sh", "-c", f"sleep 1000 & echo $! > {folder}/grandchild; echo $$ > {folder}/child; wait")


def exits(child: Child, now: float) -> None:
    """Let a child start at this time, end, and be noticed."""
    child.ensure_running(now)
    assert child.process is not None
    child.process.wait()
    child.ensure_running(now)


def test_a_child_that_exits_is_started_again_later_and_later() -> None:
    """The delay doubles from half a second up to its limit."""
    child, now, delays = Child("crashes", EXIT), 100.0, []
    for _ in range(9):
        exits(child, now)
        delays.append(child.restart_at - now)
        now = child.restart_at
    assert delays[:4] == [FIRST_DELAY_SECONDS * 2**n for n in range(4)]
    assert delays[-2:] == [LONGEST_DELAY_SECONDS] * 2


def test_a_child_is_not_started_before_its_delay_is_over() -> None:
    """A process that crashes at once does not eat the machine."""
    child = Child("crashes", EXIT)
    exits(child, 100.0)
    child.ensure_running(child.restart_at - 0.01)
    assert child.process is None
    child.ensure_running(child.restart_at)
    assert child.process is not None
    child.process.wait()


def test_a_child_that_ran_well_starts_again_quickly() -> None:
    """One crash a week is not the seventh crash in a row."""
    child = Child("crashes", EXIT)
    for now in (100.0, 200.0):
        exits(child, now)
    child.ensure_running(300.0)
    assert child.process is not None
    child.process.wait()
    end = 300.0 + HEALTHY_AFTER_SECONDS + 1
    child.ensure_running(end)
    assert child.restart_at == end + FIRST_DELAY_SECONDS


def test_a_child_that_runs_is_left_alone() -> None:
    """Looking after it starts no second one."""
    child = Child("runs", SLEEP)
    child.ensure_running(100.0)
    first = child.process
    child.ensure_running(200.0)
    assert child.process is first
    child.terminate()
    child.wait_or_kill(5)


def test_what_a_dead_child_left_behind_is_ended_before_it_starts_again(tmp_path: Path) -> None:
    """A pool whose master was killed does not go on beside the new one."""
    child = Child("pool", parent_command(tmp_path))
    child.ensure_running(100.0)
    wait_until(lambda: number_in(tmp_path / "child") is not None, "the pool's start")
    grandchild = number_in(tmp_path / "grandchild")
    assert child.process is not None
    assert grandchild is not None
    child.process.kill()
    child.process.wait()
    child.ensure_running(101.0)
    wait_until(lambda: not lives(grandchild), "the end of the grandchild")


def test_stopping_ends_children_and_grandchildren(tmp_path: Path) -> None:
    """Nothing of the whole tree is left when `run` returns."""
    pool = Child("pool", parent_command(tmp_path))
    Supervisor((pool, Child("runs", SLEEP))).run(Until(lambda: number_in(tmp_path / "child") is not None))
    grandchild = number_in(tmp_path / "grandchild")
    assert grandchild is not None
    assert pool.process is not None
    assert pool.process.returncode is not None
    wait_until(lambda: not lives(grandchild), "the end of the grandchild")


def test_a_child_that_does_not_want_to_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM first, SIGKILL when its time is over."""
    monkeypatch.setattr(supervisor, "STOP_SECONDS", 0.1)
    stubborn = Child("stubborn", ("sh", "-c", f"trap '' TERM; echo $$ > {tmp_path}/child; while :; do sleep 1; done"))
    Supervisor((stubborn,)).run(Until(lambda: number_in(tmp_path / "child") is not None))
    assert stubborn.process is not None
    assert stubborn.process.returncode == -signal.SIGKILL


def test_a_child_may_finish_what_it_is_doing(tmp_path: Path) -> None:
    """SIGTERM is asked, not forced: the child writes its last word."""
    polite = (
        f"trap 'echo done > {tmp_path}/word; exit 0' TERM; echo $$ > {tmp_path}/child; while :; do sleep 0.01; done"
    )
    child = Child("polite", ("sh", "-c", polite))
    Supervisor((child,)).run(Until(lambda: number_in(tmp_path / "child") is not None))
    assert (tmp_path / "word").read_text() == "done\n"


def test_a_program_that_is_not_there_ends_the_others_too(tmp_path: Path) -> None:
    """A service that cannot be whole does not run in part, unseen."""
    runs = Child("runs", SLEEP)
    with pytest.raises(FileNotFoundError):
        Supervisor((runs, Child("missing", (str(tmp_path / "missing"),)))).run(threading.Event())
    assert runs.process is not None
    assert runs.process.returncode is not None


def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path, repository: Path) -> None:
    """SIGKILL leaves it no time to clean up; the kernel ends its children."""
    program = (
        "import threading; from worker.supervisor import Child, Supervisor; "
        f"Supervisor((Child('c', ('sh', '-c', 'echo $$ > {tmp_path}/child; exec sleep 1000')),)).run(threading.Event())"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=repository)
    wait_until(lambda: number_in(tmp_path / "child") is not None, "the child's start")
    child = number_in(tmp_path / "child")
    assert child is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_until(lambda: not lives(child), "the end of the child")
