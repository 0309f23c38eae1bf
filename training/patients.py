"""Who is on which film: patients, identical pictures, and splits that keep both together. Pure."""

import hashlib
import re
from collections.abc import Iterable, Sequence

_KERMANY_PNEUMONIA = re.compile(r"person(\d+)_([a-z]+)_\d+")
_KERMANY_NORMAL = re.compile(r"(?:NORMAL2-)?IM-(\d+)")
_NIH = re.compile(r"(\d{8})_\d{3}")


def patient_of(name: str) -> str | None:
    """Read the patient from a file name of a known collection.

    Kermany's numbering restarts per type, so the patient is (type, number). `IM-n` and `NORMAL2-IM-n` count as one
    patient: that they are two is not known, and a split that keeps them together cannot leak.

    Args:
        name: file name without folders.

    Returns:
        A key such as `kermany/bacteria/412`, `kermany/normal/115` or `nih/1281`; None for any other name.
    """
    if found := _KERMANY_PNEUMONIA.match(name):
        return f"kermany/{found[2]}/{int(found[1])}"
    if found := _KERMANY_NORMAL.match(name):
        return f"kermany/normal/{int(found[1])}"
    if found := _NIH.match(name):
        return f"nih/{int(found[1])}"
    return None


def merge_identical(patients: Sequence[str], pixel_hashes: Sequence[str]) -> list[str]:
    """Give patients who share an identical picture one common key.

    Args:
        patients: patient of each film.
        pixel_hashes: hash of the pixels of each film.

    Returns:
        For each film the smallest key among the patients that are connected with its own.
    """
    parent: dict[str, str] = {patient: patient for patient in patients}

    def root(patient: str) -> str:
        while parent[patient] != patient:
            patient = parent[patient]
        return patient

    first: dict[str, str] = {}
    for patient, pixels in zip(patients, pixel_hashes, strict=True):
        here, there = root(patient), root(first.setdefault(pixels, patient))
        parent[max(here, there)] = min(here, there)
    return [root(patient) for patient in patients]


def first_of_each(pixel_hashes: Iterable[str]) -> list[int]:
    """Return the index of the first film of every distinct picture, ascending."""
    first: dict[str, int] = {}
    for index, pixels in enumerate(pixel_hashes):
        first.setdefault(pixels, index)
    return list(first.values())


def is_held_out(patient: str, share: float, seed: int) -> bool:
    """Decide by hash whether a patient belongs to the validation part.

    The answer depends on nothing but the arguments: more films, or another order, move no patient.
    """
    return _drawn(patient, seed) % 1000 / 1000 < share


def fold_of(patient: str, folds: int, seed: int) -> int:
    """Return the fold of a patient, from 0 up to but without `folds`; by hash, as `is_held_out`."""
    return _drawn(patient, seed) % folds


def _drawn(patient: str, seed: int) -> int:
    return int(hashlib.sha256(f"{seed}:{patient}".encode()).hexdigest(), 16)
