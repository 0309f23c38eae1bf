"""`cxr-triage listen` with several processes on one port."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dicom_io.phantom import phantom_dataset
from dicom_io.scu import store
from dicom_io.shared_port import reserve
from dicom_io.types import ApplicationEntity
from tests.servers.ports import LOOPBACK, free_port, wait_until
from worker.db import Database
from worker.schema import migrate

PROCESSES = 2


class Listener:
    """`cxr-triage listen`, run as a user runs it."""

    def __init__(self, folder: Path, port: int, processes: int) -> None:
        self.port = port
        self.peer = ApplicationEntity("CXRTRIAGE", LOOPBACK, port)
        config = folder / f"{processes}.toml"
        config.write_text(f'data_dir = "{folder}"\n[listener]\nport = {port}\nprocesses = {processes}\n')
        command = [sys.executable, "-m", "worker.cli", "listen", "--config", str(config)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def children(self) -> list[int]:
        """Process ids of the listener processes; empty for a single one, which has none."""
        return [int(word) for word in _proc(self.process.pid, f"task/{self.process.pid}/children").split()]

    def listening(self) -> list[int]:
        """Those of them that have bound the port."""
        return [child for child in self.children() if sockets_of(child) & listening_sockets(self.port)]

    def listens_itself(self) -> bool:
        """Whether it has bound the port without the help of others."""
        assert self.process.poll() is None, self.process.communicate()[1]
        return bool(sockets_of(self.process.pid) & listening_sockets(self.port))

    def wait_for(self, count: int) -> list[int]:
        """Wait until so many processes listen; returns them."""
        wait_until(lambda: len(self.listening()) == count, f"{count} listening processes")
        return self.listening()

    def end(self) -> None:
        """Stop it as an operator would."""
        self.process.terminate()
        self.process.communicate(timeout=30)


def _proc(process_id: int, name: str) -> str:
    try:
        return Path(f"/proc/{process_id}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def sockets_of(process_id: int) -> set[str]:
    """Inodes of the sockets that a process has open."""
    found = set()
    for entry in Path(f"/proc/{process_id}/fd").glob("*"):
        try:
            target = str(entry.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            found.add(target[len("socket:[") : -1])
    return found


def listening_sockets(port: int) -> set[str]:
    """Inodes of the sockets that listen on a port (proc(5), /proc/net/tcp: state 0A)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"}


def alive(process_id: int) -> bool:
    """Whether a process runs."""
    return _proc(process_id, "stat").rpartition(")")[2][1:2] not in {"", "Z"}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Listener]]:
    """Call it to start a listener on a migrated database that ends with the tests of this file."""
    folder = tmp_path_factory.mktemp("listener")
    database = Database(f"sqlite:///{folder / 'cxr-triage.sqlite'}")
    migrate(database)
    database.dispose()
    with ExitStack() as running:

        def start_one(processes: int, port: int | None = None) -> Listener:
            listener = Listener(folder, port or free_port(), processes)
            running.callback(listener.end)
            return listener

        yield start_one


@pytest.fixture(scope="module")
def several(start: Callable[..., Listener]) -> Listener:
    """Two processes that listen."""
    listener = start(PROCESSES)
    listener.wait_for(PROCESSES)
    return listener


def test_each_of_several_processes_takes_connections(several: Listener) -> None:
    """The kernel deals them out; of 32, each of two gets some."""
    before = {child: len(sockets_of(child)) for child in several.listening()}
    with ExitStack() as connections:
        for _ in range(32):
            connections.enter_context(socket.create_connection((LOOPBACK, several.port), timeout=5))
        wait_until(lambda: all(len(sockets_of(c)) > n for c, n in before.items()), "a connection in each process")


@pytest.mark.parametrize("processes", [1, PROCESSES])
def test_a_second_service_on_the_port_is_told_so(
    several: Listener, start: Callable[..., Listener], processes: int
) -> None:
    """It would get a part of the PACS's objects: one line, exit code 2, whether it is one process or several."""
    second = start(processes, several.port)
    error = second.process.communicate(timeout=30)[1]
    assert second.process.returncode == 2
    assert error == (
        f"cxr-triage: listener: cannot listen on 127.0.0.1:{several.port}: Address already in use; "
        "free the port, or change listener.host and listener.port\n"
    )


def test_a_dead_process_is_replaced_and_the_others_go_on(several: Listener) -> None:
    """One of two is killed: objects go on being received, and there are two again."""
    killed, other = several.wait_for(PROCESSES)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: not alive(killed), "the end of the killed one")
    film = phantom_dataset(1, kind="CR", rows=16, columns=16)
    assert store(several.peer, [film], calling_ae_title="PACS", timeout_seconds=10) == [0]
    wait_until(lambda: len(several.listening()) == PROCESSES, "a new one beside the other")
    assert other in several.listening()


def test_all_die_with_the_one_that_was_started(several: Listener) -> None:
    """A killed service leaves no process that goes on receiving; its port is free at once."""
    children = several.wait_for(PROCESSES)
    several.process.kill()
    several.process.communicate()
    wait_until(lambda: not any(map(alive, children)), "the end of the listener processes")
    with reserve(LOOPBACK, several.port):
        pass


def test_a_single_listener_starts_no_other_process(start: Callable[..., Listener]) -> None:
    """The usual setting costs one process, which listens by itself and shares its port with nobody."""
    single = start(1)
    wait_until(single.listens_itself, "listening")
    assert single.children() == []
    with pytest.raises(OSError, match="in use"), reserve(LOOPBACK, single.port):
        pass


def test_a_database_of_another_level_is_told_once(tmp_path: Path) -> None:
    """Not by each process again and again."""
    listener = Listener(tmp_path, free_port(), PROCESSES)
    error = listener.process.communicate(timeout=30)[1]
    assert listener.process.returncode == 2
    assert "cxr-triage migrate" in error
    assert len(error.splitlines()) == 1
