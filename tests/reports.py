"""Structured reports with known content, and what other readers have against them."""

import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from pydicom import Dataset

from dicom_io.reasons import Reason
from dicom_io.report import ScreenedImage, ScreeningReport
from tests.servers.programs import require_program


def report_of(kind: str, uids: Sequence[str]) -> ScreeningReport:
    """What is stated of images: flagged, screened or unscreened, all alike."""
    reason = Reason.UNSUPPORTED_TRANSFER_SYNTAX if kind == "unscreened" else None
    images = [
        ScreenedImage(
            sop_instance_uid=uid,
            frame=1,
            reason=reason,
            flagged=kind == "flagged",
            probability=None if reason else 0.93456,
            threshold=None if reason else 0.3125,
        )
        for uid in uids
    ]
    return ScreeningReport(
        result_uid="2.25.4711",
        predecessor_result_uid=None,
        complete=kind != "flagged",
        reason=reason,
        flagged=kind == "flagged",
        warnings=("age outside the model's",),
        images=images,
        model_name="resnet50",
        model_version="1.0.0",
        model_sha256="5e" * 32,
        created_at=datetime(2026, 11, 20, 10, 0, 0, 250_000, tzinfo=UTC),
    )


def file_of(dataset: Dataset) -> bytes:
    """The object as a file."""
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def complaints_of_dciodvfy(dataset: Dataset, folder: Path) -> list[str]:
    """The errors that dciodvfy finds in the object."""
    path = folder / "sr.dcm"
    path.write_bytes(file_of(dataset))
    verdict = subprocess.run(
        [require_program("dciodvfy", "dicom3tools"), "-new", path], capture_output=True, text=True, check=False
    )
    return [line for line in verdict.stderr.splitlines() if line.startswith("Error")]


def complaints(dataset: Dataset, folder: Path) -> list[str]:
    """What dciodvfy and dsrdump have against the object."""
    path, errors = folder / "sr.dcm", complaints_of_dciodvfy(dataset, folder)
    dump = subprocess.run([require_program("dsrdump", "dcmtk"), path], capture_output=True, text=True, check=False)
    # Its other warnings are about character sets that its own checker does not know.
    errors += [line for line in dump.stderr.splitlines() if line[:2] in {"E:", "F:"} or "violates" in line]
    return [*errors, *(["dsrdump failed"] if dump.returncode else [])]


def items_of(dataset: Dataset) -> Iterator[Dataset]:
    """Every item of the content tree, in order."""
    for item in dataset.get("ContentSequence", []):
        yield item
        yield from items_of(item)


def codes_of(dataset: Dataset) -> set[str]:
    """The code values, short and long, of every coded statement and of every concept name."""
    found = set()
    for item in items_of(dataset):
        for sequence in ("ConceptNameCodeSequence", "ConceptCodeSequence"):
            for code in item.get(sequence, []):
                found.add(str(code.get("CodeValue") or code.LongCodeValue))
    return found
