"""Taking files out of the spool while senders put files in."""

import os
from pathlib import Path

import pytest

from dicom_io.leftovers import Leftover, discard, files, folders, put_back
from dicom_io.spool import Spool

CONTENT = "ab" + "0" * 62
OLD, RECENT, LIMIT = 1000.0, 3000.0, 2000.0


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty spool."""
    return Spool(tmp_path / "spool", min_free_bytes=0)


def stored(spool: Spool, *, changed_at: float = OLD) -> Path:
    """A file that was received some time ago."""
    path = spool.store(CONTENT, [b"film"])
    os.utime(path, (changed_at, changed_at))
    return path


def listed(spool: Spool) -> list[Leftover]:
    """Everything that is found."""
    return [file for folder in folders(spool.root) for file in files(folder)]


def test_an_old_file_goes(spool: Spool) -> None:
    """And leaves nothing behind."""
    path = stored(spool)
    assert discard(path, unless_touched_since=LIMIT)
    assert list(path.parent.iterdir()) == []


def test_a_file_that_is_gone_is_gone(spool: Spool) -> None:
    """A run that was interrupted after it took the file away does not stumble over it."""
    path = stored(spool)
    path.unlink()
    assert discard(path, unless_touched_since=LIMIT)


def test_a_file_that_is_sent_again_stays(spool: Spool) -> None:
    """Its sender is about to be answered with success: storing it again touches it."""
    path = stored(spool)
    spool.store(CONTENT, [b"film"])
    assert not discard(path, unless_touched_since=LIMIT)
    assert path.read_bytes() == b"film"
    assert [file.path for file in listed(spool)] == [path]


def test_a_file_that_is_sent_again_after_it_was_taken_away_is_written_anew(spool: Spool) -> None:
    """The sender's touch finds nothing, so the bytes are written."""
    path = stored(spool)
    discard(path, unless_touched_since=LIMIT)
    assert spool.store(CONTENT, [b"film"]).read_bytes() == b"film"


def test_a_removal_that_was_interrupted_can_be_undone(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between moving aside and looking: the file is found, known for what it is, and put back."""
    path = stored(spool)

    def killed(_path: Path, **_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            discard(path, unless_touched_since=LIMIT)
    assert not path.exists()
    (aside,) = listed(spool)
    assert (aside.content_sha256, aside.whole, aside.aside) == (CONTENT, False, True)
    put_back(aside)
    assert path.read_bytes() == b"film"
    put_back(aside)  # by another run, just then
    assert path.read_bytes() == b"film"


def test_what_a_dead_writer_has_begun_is_known(spool: Spool) -> None:
    """It is neither whole nor aside."""
    path = stored(spool)
    path.rename(path.with_name(f".{path.name}.4711-abcdef01"))
    (begun,) = listed(spool)
    assert (begun.content_sha256, begun.whole, begun.aside, begun.size) == (CONTENT, False, False, 4)


def test_files_that_are_not_ours_are_not_listed(spool: Spool) -> None:
    """Whatever an operator or a file system puts there stays."""
    folder = stored(spool).parent
    (folder / "README").write_text("mine")
    (folder / f"{CONTENT}.dcm.bak").write_text("mine")
    (spool.root / "lost+found").mkdir()
    assert [file.path.name for file in listed(spool)] == [f"{CONTENT}.dcm"]
    assert folders(spool.root / "nowhere") == []
