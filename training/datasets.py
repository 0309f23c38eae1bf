"""Labelled films: class folders, CSV manifests and MedMNIST archives."""

import csv
from dataclasses import replace
from pathlib import Path

from training.archives import archive_cases, archive_parts
from training.cases import CLASSES, Case
from training.errors import DataError
from training.facts import stated_facts
from training.patients import patient_of


def find_cases(data: Path, split: str | None = None) -> list[Case]:
    """List the labelled films of a data set.

    Args:
        data: a folder with `NORMAL/` and `PNEUMONIA/`, a folder with such folders per split, a CSV manifest (columns
            path and label, optionally patient, split, age and view or view_position; paths relative to the
            manifest) or a MedMNIST `.npz`.
        split: which part, where the data are divided; None: the whole, which must then not be divided.

    Returns:
        The cases, at least one, sorted by name.

    Raises:
        DataError: if nothing is there, a label is neither of the two, a listed file is missing, or the data are
            divided and no split was named.
    """
    cases = _find(data, split)
    if not cases:
        raise DataError(f"{data} holds no labelled films; expected {CLASSES[0]}/ and {CLASSES[1]}/ with images in them")
    named = [replace(case, source=source_name(data)) for case in cases]
    return sorted(named, key=lambda case: case.name)


def find_parts(data: Path) -> dict[str, list[Case]]:
    """List the labelled films of every part of a data set, by the part's name; `all` where it is not divided.

    Raises:
        DataError: as `find_cases`.
    """
    names = _part_names(data)
    return {name: find_cases(data, name) for name in names} if names else {"all": find_cases(data)}


def source_name(data: Path) -> str:
    """Name a data set after its folder, or an archive after itself."""
    if data.suffix == ".npz":
        return data.stem
    return data.resolve().parent.name if data.suffix == ".csv" else data.resolve().name


def _find(data: Path, split: str | None) -> list[Case]:
    if data.suffix == ".csv":
        return _manifest(data, split)
    if data.suffix == ".npz":
        return archive_cases(data, split)
    if not data.is_dir():
        raise DataError(f"{data} is no folder, .csv or .npz")
    return _class_folders(data, split)


def _part_names(data: Path) -> list[str]:
    if data.suffix == ".csv":
        return list(dict.fromkeys(row["split"] for row in _rows(data) if row.get("split")))
    if data.suffix == ".npz":
        return archive_parts(data)
    return [] if _has_classes(data) or not data.is_dir() else sorted(p.name for p in data.iterdir() if _has_classes(p))


def _class_folders(data: Path, split: str | None) -> list[Case]:
    root = data if _has_classes(data) else data / (split or "")
    if not _has_classes(root):
        parts = sorted(entry.name for entry in data.iterdir() if _has_classes(entry))
        if parts:
            raise DataError(f"{data} is divided into {', '.join(parts)}: name one of these folders")
        raise DataError(f"{data} has no folders {CLASSES[0]}/ and {CLASSES[1]}/")
    files = [(path, label) for label, name in enumerate(CLASSES) for path in sorted((root / name).rglob("*"))]
    return [
        _case(path, path.relative_to(root).as_posix(), label)
        for path, label in files
        if path.is_file() and not path.name.startswith(".")
    ]


def _case(path: Path, name: str, label: int, stated_patient: str | None = None) -> Case:
    # A known file name says more than a manifest's number, which is unique in that manifest only.
    return Case(path, name, label, patient_of(path.name) or stated_patient or f"file/{name}")


def _has_classes(folder: Path) -> bool:
    return folder.is_dir() and any((folder / name).is_dir() for name in CLASSES)


def _manifest(manifest: Path, split: str | None) -> list[Case]:
    rows = _rows(manifest)
    if rows and not {"path", "label"} <= rows[0].keys():
        raise DataError(f"{manifest} needs the columns path and label, it has: {', '.join(rows[0])}")
    wanted = [row for row in rows if split is None or row.get("split") in (None, "", split)]
    cases = [_row(manifest, number, row) for number, row in enumerate(wanted, start=2)]
    missing = [case.name for case in cases if not case.path.is_file()]
    if missing:
        raise DataError(f"{manifest} lists {len(missing)} files that are not there, first: {missing[0]}")
    _refuse_leaks(manifest, rows)
    return cases


def _rows(manifest: Path) -> list[dict[str, str]]:
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the manifest {manifest}: {error}") from None


def _row(manifest: Path, line: int, row: dict[str, str]) -> Case:
    label = {"0": 0, "1": 1, CLASSES[0]: 0, CLASSES[1]: 1}.get((row["label"] or "").strip().upper())
    if label is None:
        raise DataError(f"{manifest} line {line}: label {row['label']!r} is neither {CLASSES[0]} nor {CLASSES[1]}")
    path = manifest.parent / row["path"]
    patient = row.get("patient")
    case = _case(path, row["path"], label, f"{manifest.parent.name}/{patient}" if patient else None)
    facts = stated_facts(row.get("age"), row.get("view") or row.get("view_position"))
    return replace(case, age=facts.age, view=facts.view)


def _refuse_leaks(manifest: Path, rows: list[dict[str, str]]) -> None:
    splits: dict[str, str] = {}
    for row in rows:
        patient, split = row.get("patient"), row.get("split")
        if patient and split and splits.setdefault(patient, split) != split:
            raise DataError(f"{manifest}: patient {patient} is in {splits[patient]} and in {split}; put it into one")
