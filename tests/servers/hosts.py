"""Several hosts on one machine: network and mount namespaces, joined by veth pairs and a bridge.

The bridge lies in a namespace of its own, and every namespace lives as long as the process that holds it. That one dies
with the tests, however they end, and what is in its namespaces with it: nothing of this is ever in the machine's own.
"""

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from tests.conftest import REPOSITORY
from tests.servers.ports import wait_until
from tests.servers.programs import require_program

_PREFIX = "10.77.0"
_DEVICE = "eth0"
_PROBE = "ip link add probe type bridge && ip link add one type veth peer name two && mount -t tmpfs none /mnt"


@dataclass(frozen=True)
class Host:
    """A host with a network and mounts of its own; files that nobody hid from it are the same everywhere.

    Attributes:
        holder: the process that its namespaces live in.
    """

    name: str
    address: str
    holder: subprocess.Popen[bytes]

    @property
    def within(self) -> tuple[str, ...]:
        """The words before a command that make it run here, in the repository."""
        spaces = f"/proc/{self.holder.pid}/ns"
        return ("nsenter", f"--net={spaces}/net", f"--mount={spaces}/mnt", f"--wdns={REPOSITORY}", "--")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a short command here.

        Raises:
            subprocess.CalledProcessError: if it fails.
        """
        return subprocess.run([*self.within, *command], capture_output=True, text=True, timeout=60, check=True)

    def accepts(self, port: int) -> bool:
        """Whether something here listens on a port."""
        command = (*self.within, "bash", "-c", f"exec 3<>/dev/tcp/{self.address}/{port}")
        return subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0

    def hide(self, folder: Path) -> None:
        """Put an empty folder that cannot be written in the place of one, for this host only."""
        self.run("mount", "-t", "tmpfs", "-o", "ro,size=4k", "none", str(folder))

    def unplug(self) -> None:
        """Take the link down: the kernel here knows it at once."""
        self.run("ip", "link", "set", _DEVICE, "down")

    def plug(self) -> None:
        """Take the link up again."""
        self.run("ip", "link", "set", _DEVICE, "up")


@dataclass(frozen=True)
class Network:
    """Hosts by name, and the switch between them."""

    hosts: dict[str, Host]
    _switch: Host

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def cut(self, name: str) -> None:
        """Lose every packet to and from a host; nobody is told, each link stays up."""
        self._switch.run("ip", "link", "set", name, "nomaster")

    def heal(self, name: str) -> None:
        """Let its packets through again."""
        self._switch.run("ip", "link", "set", name, "master", "bridge")

    @classmethod
    def of(cls, hosts: Sequence[Host], switch: Host) -> Self:
        """Join hosts."""
        switch.run("ip", "link", "add", "bridge", "type", "bridge")
        switch.run("ip", "link", "set", "bridge", "up")
        for host in hosts:
            peer = ("peer", "name", _DEVICE, "netns", str(host.holder.pid))
            switch.run("ip", "link", "add", host.name, "type", "veth", *peer)
            switch.run("ip", "link", "set", host.name, "master", "bridge", "up")
            host.run("ip", "address", "add", f"{host.address}/24", "dev", _DEVICE)
            host.run("ip", "link", "set", "lo", "up")
            host.plug()
        return cls({host.name: host for host in hosts}, switch)


@contextlib.contextmanager
def network(*names: str) -> Iterator[Network]:
    """Make hosts until the block ends; where that is not allowed the test is skipped, in CI too."""
    for program, package in (("ip", "iproute2"), ("nsenter", "util-linux"), ("unshare", "util-linux")):
        require_program(program, package)
    _require_namespaces()
    with contextlib.ExitStack() as running:
        made = [running.enter_context(_host(name, number)) for number, name in enumerate(("switch", *names))]
        yield Network.of(made[1:], made[0])


def _require_namespaces() -> None:
    probe = ("unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", _PROBE)
    done = subprocess.run(probe, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode != 0:
        pytest.skip(f"network namespaces are not allowed here, which takes root: {done.stderr.strip()}")


@contextlib.contextmanager
def _host(name: str, number: int) -> Iterator[Host]:
    spaces = ("unshare", "--net", "--mount", "--propagation", "private")
    command = ("setpriv", "--pdeathsig", "KILL", "--", *spaces, "sleep", "infinity")
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as holder:
        try:
            wait_until(lambda: _is_apart(holder.pid), f"the namespaces of {name}")
            yield Host(name, f"{_PREFIX}.{number}", holder)
        finally:
            holder.kill()


def _is_apart(process_id: int) -> bool:
    # `unshare` makes the mounts private before it becomes `sleep`.
    return Path(f"/proc/{process_id}/comm").read_text().strip() == "sleep"
