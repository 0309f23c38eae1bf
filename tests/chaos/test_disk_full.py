"""The disk of the spool fills while studies are being pushed, and is freed."""

import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.films import Films
from tests.chaos.invariants import assert_promises_kept, settle, take_stock
from tests.chaos.ledger import OUT_OF_RESOURCES, SUCCESS, Ledger
from tests.chaos.pusher import push, push_the_rest, pushing
from tests.chaos.report import FaultRow, Report
from tests.chaos.scale import Scale
from tests.chaos.service import ChaosService

DISK_BYTES = 8 << 20
FILM_BYTES = 200_000  # at most; in the end all that were refused must have room
LEFT_BYTES = 300 << 10  # room for two films
CUT_BYTES = 50_000  # in the middle of a film


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Mount a tmpfs of so many bytes over a folder; skips the test where that is not allowed."""
    folder.mkdir(mode=0o700, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a small disk needs the right to mount a tmpfs: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_nothing_is_truncated_on_a_full_disk(
    embedded: ChaosService, films: Films, scale: Scale, report: Report
) -> None:
    """0xA700 while the disk is full, from several senders at once; when it is freed, everything is taken."""
    ledger, size = Ledger(), DISK_BYTES + scale.refusals * FILM_BYTES
    with (
        small_disk(embedded.data_dir / "spool", size) as spool,
        report.row("disk", "spool disk full (a small tmpfs) and freed", planned=1) as row,
    ):
        filler = spool / "of-another-program"
        filler.write_bytes(b"\0" * (size - LEFT_BYTES))
        with pushing(embedded, films, ledger, scale):
            while ledger.answers()[OUT_OF_RESOURCES] < scale.refusals:
                push(embedded.listener, [films.new()], ledger)
        assert set(ledger.answers()) == {SUCCESS, OUT_OF_RESOURCES}
        filler.unlink()
        _end(embedded, ledger, row)


def test_nothing_is_truncated_when_writing_fails_in_the_middle_of_a_file(
    embedded: ChaosService, films: Films, report: Report
) -> None:
    """A listener that may write no longer files than half a film answers 0xA700 and leaves nothing behind."""
    ledger = Ledger()
    with report.row("cut", "a file of the spool cannot be written to its end", planned=1) as row:
        with no_longer_files(embedded, CUT_BYTES):
            push(embedded.listener, [films.new() for _ in range(4)], ledger)
        assert set(ledger.answers()) == {OUT_OF_RESOURCES}
        _end(embedded, ledger, row)


@contextmanager
def no_longer_files(service: ChaosService, size: int) -> Iterator[None]:
    """Let the listener write no file beyond a size: the kernel then writes as much as may be, and fails."""
    listeners = [pid for name, part in service.parts.items() if name.startswith("listener") for pid in part.processes()]
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in listeners}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
    yield
    for pid, limits in before.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def _end(service: ChaosService, ledger: Ledger, row: FaultRow) -> None:
    row.rounds = 1
    refused = ledger.answers()[OUT_OF_RESOURCES]
    push_the_rest(service.listener, ledger)
    assert ledger.answers()[OUT_OF_RESOURCES] == refused
    settle(service, ledger)
    row.take(tally := take_stock(service, ledger))
    assert_promises_kept(tally)
