"""The destination `folder`: one JSON flag, and one structured report where the sources are DICOM, per result."""

import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path

from dicom_io.durability import sync
from dicom_io.report import ReportForm
from worker.delivery.reporting import encode_file, structured_report
from worker.destinations import FolderDestination
from worker.domain import ScreeningResult
from worker.errors import DeliveryRefusedError, DestinationDownError
from worker.receipt import Receipt


def send(result: ScreeningResult, destination: FolderDestination) -> Receipt:
    """Write `<result_uid>.json` and `<result_uid>.dcm`, readable by our own account only.

    A file appears whole or not at all; writing the same result again replaces each file by its equal. The JSON flag
    is written first, so that it arrives even where no report can be made.

    Returns:
        The names of the files.

    Raises:
        DestinationDownError: if the folder cannot be written: missing, full, read-only.
        DeliveryRefusedError: if the result's UID is none, or no structured report can be made of its sources.
    """
    uid = result.flag.result_uid
    if not re.fullmatch(r"[0-9.]{1,64}", uid):
        raise DeliveryRefusedError(f"{uid!r} is no UID and cannot name a file.")
    _write(destination.path / f"{uid}.json", result.flag.to_json().encode() + b"\n")
    if not result.has_dicom_source:
        return Receipt(f"wrote {uid}.json")
    _write(destination.path / f"{uid}.dcm", encode_file(structured_report(result)))
    return Receipt(f"wrote {uid}.json and {uid}.dcm", ReportForm.COMPREHENSIVE_3D_SR)


def _write(path: Path, content: bytes) -> None:
    """Put a file in place, durably; its folder is made, that folder's parent is not: it may be a missing mount."""
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        finally:
            with suppress(FileNotFoundError):
                Path(temporary).unlink()
        sync(path.parent)
    except OSError as error:
        raise DestinationDownError(f"{path.parent} cannot be written ({error.strerror}); mend it.") from error
