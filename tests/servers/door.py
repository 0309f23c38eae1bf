"""A storage provider for tests that look at who gets in, and at what is left behind."""

import os
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset

from dicom_io.access import EVERYBODY, USUAL, Access, Limits, Observer, Reason
from dicom_io.phantom import phantom_dataset
from dicom_io.scp import ReceivedObject, StorageSCP
from dicom_io.types import ApplicationEntity, TransportSecurity
from tests.servers.ports import LOOPBACK, wait_until
from tests.servers.programs import require_program
from tests.servers.rude import EXPLICIT


@dataclass
class Door:
    """What came in through it, and what did not."""

    port: int = 0
    taken: list[bytes] = field(default_factory=list)
    received: list[ReceivedObject] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    reasons: Counter[Reason] = field(default_factory=Counter)
    open: threading.Event = field(default_factory=threading.Event)

    def take(self, received: ReceivedObject) -> None:
        """Take responsibility for an object, once `open` is set."""
        self.open.wait(20)
        self.taken.append(bytes(received.data_set))
        self.received.append(received)

    def await_reason(self, reason: Reason, times: int = 1) -> None:
        """Wait until so many connections were turned away for it."""
        wait_until(lambda: self.reasons[reason] >= times, f"{reason} {times} times", seconds=10)


def _count(counter: Counter[int] | Counter[Reason], key: int | Reason) -> None:
    counter[key] += 1  # type: ignore[index]


@contextmanager
def door(*, access: Access = EVERYBODY, limits: Limits = USUAL, tls: TransportSecurity | None = None) -> Iterator[Door]:
    """Run a provider; when the block ends, the threads and descriptors of its connections must be gone already.

    Raises:
        TimeoutError: if a connection has left a thread or a descriptor behind.
    """
    inside = Door()
    inside.open.set()
    observer = Observer(lambda status: _count(inside.answers, status), lambda reason: _count(inside.reasons, reason))
    address = ApplicationEntity("CXRTRIAGE", LOOPBACK, 0, tls)
    with StorageSCP(address, inside.take, access=access, limits=limits, observer=observer) as provider:
        inside.port = provider.port
        threads, descriptors = threading.active_count(), _descriptors()
        yield inside
        wait_until(lambda: threading.active_count() <= threads, "the end of all threads", seconds=10)
        wait_until(lambda: _descriptors() <= descriptors, "the end of all descriptors", seconds=10)


def film(**values: object) -> Dataset:
    """A small CR film with these values."""
    dataset = phantom_dataset(1, kind="CR", rows=64, columns=48, transfer_syntax_uid=EXPLICIT)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def dcmtk(
    program: str, port: int, *arguments: str | Path, caller: str = "PACS1", called: str = "CXRTRIAGE"
) -> subprocess.CompletedProcess[str]:
    """Run one of DCMTK's clients against the provider."""
    command = [require_program(program, "dcmtk"), "-v", "-aet", caller, "-aec", called, LOOPBACK, str(port)]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=30, check=False)


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - an iterator would hold one itself
