"""The films that the demo pushes: drawn phantoms with the headers that real PACSs send, or the caller's own."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import Dataset, uid

from dicom_io.errors import ImageError
from dicom_io.identity import sop_instance_reference
from dicom_io.phantom import phantom_dataset
from dicom_io.reader import read_header, read_radiograph
from dicom_io.secondary_capture import secondary_capture

# What differs between the phantoms: all that a listener must take without a word.
_VARIETY: tuple[tuple[str, dict[str, Any]], ...] = (
    ("CR, explicit little endian", {"kind": "CR"}),
    ("DX, MONOCHROME1", {"monochrome1": True}),
    ("DX, JPEG 2000 lossless", {"transfer_syntax_uid": uid.JPEG2000Lossless}),
    ("CR, RLE", {"kind": "CR", "transfer_syntax_uid": uid.RLELossless}),
    (
        "DX for processing, Japanese name",
        {
            "kind": "DX for processing",
            "character_set": ("", "ISO 2022 IR 87"),
            "patient_name": "Yamada^Tarou=山田^太郎=やまだ^たろう",
        },
    ),
    ("secondary capture, JPEG", {"kind": "SC", "transfer_syntax_uid": uid.JPEGBaseline8Bit}),
)


@dataclass(frozen=True, slots=True)
class Film:
    """A film in a file, ready to be pushed."""

    path: Path
    label: str
    study_instance_uid: str


def draw_films(folder: Path, count: int) -> Iterator[Film]:
    """Draw phantoms, every second one with an opacity, and write them as DICOM files."""
    for number in range(1, count + 1):
        label, options = _VARIETY[(number - 1) // 2 % len(_VARIETY)]
        opacity = number % 2 == 0
        dataset = phantom_dataset(number, opacity=opacity, accession_number=f"DEMO{number:04d}", **options)
        yield _write(dataset, folder / f"{number:04d}.dcm", label + (", opacity" if opacity else ""))


def own_films(source: Path, folder: Path) -> Iterator[Film]:
    """Take the caller's DICOM, PNG and JPEG files; what is no image is left out."""
    for number, path in enumerate(sorted(p for p in source.rglob("*") if p.is_file()), start=1):
        try:
            yield _own_film(path, folder / f"{number:04d}.dcm")
        except ImageError:
            continue


def _own_film(path: Path, wrapped: Path) -> Film:
    header = read_header(path)
    if header is not None:
        return Film(path, path.name, sop_instance_reference(header).study_instance_uid)
    radiograph = read_radiograph(path)
    picture = radiograph.table[radiograph.frames[0]]
    return _write(secondary_capture(picture, uid.generate_uid(None)), wrapped, path.name)


def _write(dataset: Dataset, path: Path, label: str) -> Film:
    dataset.save_as(path, enforce_file_format=True)
    return Film(path, label, str(dataset.StudyInstanceUID))
