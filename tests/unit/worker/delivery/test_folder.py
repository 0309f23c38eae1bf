"""The destination `folder`."""

import json
import os
import stat
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_io.reasons import Reason
from tests.results import RESULT, flag, flagged_result, prediction
from worker.delivery.send import send
from worker.destinations import FolderDestination
from worker.domain import ScreeningResult
from worker.errors import DeliveryRefusedError, DeliveryRetryError, DestinationDownError
from worker.receipt import Receipt


@pytest.fixture
def destination(tmp_path: Path) -> FolderDestination:
    """A folder that does not exist yet."""
    return FolderDestination(kind="folder", name="flags", path=tmp_path / "flags")


def _send(result: ScreeningResult, destination: FolderDestination) -> Receipt:
    return send(result, destination, calling_ae_title="TEST")


def test_a_result_is_one_flag_and_one_report(destination: FolderDestination) -> None:
    """Both are named by the result, belong to our account alone, and nothing else is left behind."""
    answer = _send(flagged_result(), destination).answer
    assert answer == f"wrote {RESULT}.json and {RESULT}.dcm"
    files = sorted(destination.path.iterdir())
    assert [file.name for file in files] == [f"{RESULT}.dcm", f"{RESULT}.json"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert json.loads(files[1].read_text())["priority"] == "HIGH"
    assert dcmread(files[0]).SeriesDescription == "AI TRIAGE: HIGH"


def test_sending_again_changes_nothing(destination: FolderDestination) -> None:
    """The second delivery leaves the same two files with the same bytes."""
    _send(flagged_result(), destination)
    before = {file.name: file.read_bytes() for file in destination.path.iterdir()}
    _send(flagged_result(), destination)
    assert {file.name: file.read_bytes() for file in destination.path.iterdir()} == before


def test_a_png_gets_a_flag_and_no_report(destination: FolderDestination) -> None:
    """Without a DICOM source there is nothing to report on."""
    result = ScreeningResult(flag=flag(prediction(uid=None)))
    assert _send(result, destination).answer == f"wrote {RESULT}.json"
    assert [file.name for file in destination.path.iterdir()] == [f"{RESULT}.json"]


def test_a_flag_arrives_even_where_no_report_can_be_made(destination: FolderDestination) -> None:
    """Headers of other images stop the report, loudly, and not the flag."""
    other = ScreeningResult(flag=flag(prediction(uid="2.25.5", flagged=True)), headers=flagged_result().headers)
    with pytest.raises(DeliveryRefusedError, match="report"):
        _send(other, destination)
    assert [file.name for file in destination.path.iterdir()] == [f"{RESULT}.json"]


def test_a_missing_mount_is_no_destination(tmp_path: Path) -> None:
    """Where the parent of the folder is missing, nothing is made and the delivery is tried again."""
    lost = FolderDestination(kind="folder", name="flags", path=tmp_path / "mount" / "flags")
    with pytest.raises(DeliveryRetryError, match="cannot be written"):
        _send(flagged_result(), lost)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_folders_place_takes_nothing_at_present(destination: FolderDestination) -> None:
    """The operator mends that: no flag becomes a dead letter, and the file stays."""
    destination.path.write_text("mine")
    with pytest.raises(DestinationDownError, match="cannot be written"):
        _send(flagged_result(), destination)
    assert destination.path.read_text() == "mine"


def test_a_reader_meets_whole_files_only(destination: FolderDestination, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever lies under a name that does not begin with a full stop is complete, also while a file is replaced."""
    _send(flagged_result(), destination)
    whole = {file.name: file.read_bytes() for file in destination.path.iterdir()}
    seen: list[dict[str, bytes]] = []
    sync = os.fsync

    def look(descriptor: int) -> None:
        seen.append({file.name: file.read_bytes() for file in destination.path.glob("[!.]*")})
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    _send(flagged_result(), destination)
    assert seen
    assert all(files == whole for files in seen)


def test_a_full_disk_leaves_nothing_half_written(
    destination: FolderDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the bytes cannot be made durable, no file appears and the delivery is tried again."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DeliveryRetryError, match="No space left"):
        _send(flagged_result(), destination)
    assert list(destination.path.iterdir()) == []


def test_a_result_names_no_file_outside_its_folder(destination: FolderDestination) -> None:
    """A result UID that is none is refused before anything is written."""
    stray = flagged_result().flag.model_copy(update={"result_uid": "../2.25.1"})
    with pytest.raises(DeliveryRefusedError, match="no UID"):
        _send(ScreeningResult(flag=stray), destination)
    assert not destination.path.exists()


def test_an_unscreened_image_is_never_reported_as_screened(destination: FolderDestination) -> None:
    """Even an unscreened image that lacks its reason is reported as not screened."""
    image = prediction(reason=Reason.TRUNCATED).model_copy(update={"reason": None})
    result = ScreeningResult(flag=flag(image, reason=Reason.INCOMPLETE), headers=flagged_result().headers)
    _send(result, destination)
    assert b"unscreened" in (destination.path / f"{RESULT}.dcm").read_bytes()
    assert b"Screened by AI" not in (destination.path / f"{RESULT}.dcm").read_bytes()
