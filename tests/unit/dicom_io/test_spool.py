"""Received bytes are durable and whole, or not there."""

import errno
import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest

from dicom_io.errors import OutOfResourcesError, SpoolError
from dicom_io.spool import Spool

PARTS = (b"head", memoryview(bytes(range(256)) * 300))
CONTENT = b"".join(bytes(part) for part in PARTS)
HASH = sha256(CONTENT).hexdigest()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty spool that is not made yet."""
    return Spool(tmp_path / "data" / "spool", min_free_bytes=0)


@pytest.fixture
def _usual_umask() -> Iterator[None]:
    """As an operator's shell has it."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def files(spool: Spool) -> list[Path]:
    """Every file in the spool, hidden ones too."""
    return [path for path in spool.root.rglob("*") if path.is_file()]


@contextmanager
def disk_full_after(size: int) -> Iterator[None]:
    """The kernel itself refuses to let any file grow past `size` bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def record_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Write down, in order, what is written, synced and renamed."""
    calls: list[tuple[str, str]] = []
    write, fsync, rename = os.write, os.fsync, os.rename

    def path_of(descriptor: int) -> str:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())

    def recorded_write(descriptor: int, data: bytes) -> int:
        calls.append(("write", path_of(descriptor)))
        return write(descriptor, data)

    def recorded_fsync(descriptor: int) -> None:
        calls.append(("fsync", path_of(descriptor)))
        fsync(descriptor)

    def recorded_rename(source: Path, target: Path) -> None:
        calls.append(("rename", f"{source} {target}"))
        rename(source, target)

    monkeypatch.setattr(os, "write", recorded_write)
    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "rename", recorded_rename)
    return calls


def test_an_object_is_stored_byte_for_byte_under_its_hash(spool: Spool) -> None:
    """The file holds the parts in order, its name is the hash, and nothing else lies there."""
    path = spool.store(HASH, PARTS)
    assert path == spool.path(HASH) == spool.root / HASH[:2] / f"{HASH}.dcm"
    assert path.read_bytes() == CONTENT
    assert files(spool) == [path]


def test_bytes_are_on_the_disk_before_the_name_is(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write, fsync the file, rename, fsync the folder: in this order, so that a power cut leaves whole files only."""
    calls = record_calls(monkeypatch)
    path = spool.store(HASH, PARTS)
    temporary = calls[-3][1]
    assert calls[-5:] == [
        ("write", temporary),
        ("write", temporary),
        ("fsync", temporary),
        ("rename", f"{temporary} {path}"),
        ("fsync", str(path.parent)),
    ]
    assert Path(temporary).parent == path.parent
    assert Path(temporary).name.startswith(".")


def test_new_folders_are_on_the_disk_too(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a file lies there, the new folder and the spool itself are synced in the folders above them."""
    calls = record_calls(monkeypatch)
    spool.store(HASH, PARTS)
    first_write = [kind for kind, _ in calls].index("write")
    assert {("fsync", str(spool.root)), ("fsync", str(spool.root.parent))} <= set(calls[:first_write])


def test_an_object_that_is_there_is_not_written_again(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second sending changes no byte, but its folder is synced before the second sender is answered.

    It touches the file, so that nobody takes it away as too old just then.
    """
    path = spool.store(HASH, PARTS)
    os.utime(path, (0, 0))
    before = path.stat()
    calls = record_calls(monkeypatch)
    assert spool.store(HASH, PARTS) == path
    assert calls == [("fsync", str(path.parent))]
    assert path.stat().st_ino == before.st_ino
    assert path.stat().st_mtime > before.st_mtime


@pytest.mark.parametrize("damage", [b"", CONTENT[:3], CONTENT[:-1], CONTENT[:-1] + b"?", CONTENT + b"?"])
def test_a_damaged_file_is_written_anew(spool: Spool, damage: bytes) -> None:
    """Who sends again because ours cannot be read must not be answered with success for the damaged one."""
    path = spool.store(HASH, PARTS)
    path.write_bytes(damage)
    assert spool.store(HASH, PARTS).read_bytes() == CONTENT
    assert files(spool) == [path]


def test_the_disk_is_asked_for_all_of_it_before_the_first_byte(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk on which the object does not fit is not written to, and nothing of it stays."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    calls = record_calls(monkeypatch)
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(SpoolError, match="No space left on device"):
        spool.store(HASH, PARTS)
    assert "write" not in [kind for kind, _ in calls]
    assert files(spool) == []


def test_a_file_is_no_longer_than_its_bytes(spool: Spool) -> None:
    """Blocks are reserved for the parts exactly; a reader that goes to the end finds no zeros behind them."""
    status = spool.store(HASH, PARTS).stat()
    assert status.st_size == len(CONTENT)
    assert status.st_blocks * 512 < len(CONTENT) + 2 * 4096


def test_short_writes_are_carried_on(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that takes 1000 bytes at a time still gets all of them."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:1000]))
    assert spool.store(HASH, PARTS).read_bytes() == CONTENT


@pytest.mark.usefixtures("_usual_umask")
def test_only_the_service_can_read_the_spool(spool: Spool) -> None:
    """Files have mode 0600 and folders 0700, whatever the umask of whoever started the service."""
    path = spool.store(HASH, PARTS)
    modes = [level.stat().st_mode & 0o777 for level in (path, path.parent, spool.root)]
    assert [oct(mode) for mode in modes] == ["0o600", "0o700", "0o700"]


def test_a_disk_that_fills_up_leaves_nothing_half_written(spool: Spool) -> None:
    """The kernel refuses in the middle of the file: an error that lets the sender try again, and no file."""
    with disk_full_after(len(CONTENT) // 2), pytest.raises(SpoolError, match="free space"):
        spool.store(HASH, PARTS)
    assert files(spool) == []
    assert spool.store(HASH, PARTS).read_bytes() == CONTENT


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_disk_that_fails_late_leaves_nothing_half_written(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A delayed allocation may fail at fsync, a quota at rename; neither leaves a file."""
    spool.store(HASH, PARTS)  # makes the folders
    spool.path(HASH).unlink()

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(SpoolError, match="No space left on device: free space"):
        spool.store(HASH, PARTS)
    assert files(spool) == []


def test_an_object_is_refused_before_the_disk_is_full(spool: Spool) -> None:
    """Below the free space that is to be kept nothing is written, and the message says how much is there."""
    careful = Spool(spool.root, min_free_bytes=1 << 60)
    with pytest.raises(SpoolError, match=rf"\d+ bytes free, {1 << 60} are kept free"):
        careful.store(HASH, PARTS)
    assert files(spool) == []
    assert issubclass(SpoolError, OutOfResourcesError)


def test_the_object_itself_counts_for_the_free_space(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left after the object is what counts, not what is there before."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    just = Spool(spool.root, min_free_bytes=900)
    just.require_space(100)
    with pytest.raises(SpoolError):
        just.require_space(101)


def test_a_spool_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file where the folder should be is an error of the spool, not of the program."""
    (tmp_path / "spool").write_text("in the way")
    blocked = Spool(tmp_path / "spool", min_free_bytes=0)
    with pytest.raises(SpoolError, match="mend the folder"):
        blocked.store(HASH, PARTS)
    with pytest.raises(SpoolError, match="mend the folder"):
        blocked.require_space(0)


def test_many_senders_of_one_object_get_one_whole_file(spool: Spool) -> None:
    """Sixteen threads store the same object at once; each returns with the whole file there."""

    def store(_: int) -> bytes:
        return spool.store(HASH, PARTS).read_bytes()

    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(store, range(16))) == {CONTENT}
    assert files(spool) == [spool.path(HASH)]
