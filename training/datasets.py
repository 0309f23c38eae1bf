"""Labelled films: class folders, CSV manifests, DICOM folders with a table of labels, and MedMNIST archives."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from training.archives import archive_cases, archive_parts
from training.cases import ANONYMOUS, CLASSES, Case
from training.dicom_folders import dicom_cases, label_table
from training.errors import DataError
from training.manifests import manifest_cases, manifest_parts, refuse_missing
from training.patients import patient_of

_LAYOUTS = f"class folders {CLASSES[0]}/ and {CLASSES[1]}/, a .csv manifest, a DICOM folder as RSNA's, or a .npz"


def find_cases(data: Path, split: str | None = None) -> list[Case]:
    """List the labelled films of a data set.

    A patient whom a manifest or a table of labels names is the same one in every data set of a run, so that a patient
    of the locked cases is known again among the new ones, whatever the folders are called. Where two sites number
    their patients alike, those count as one: that leaks nothing, but a site may prefix its ids. The file names of
    known collections (`training.patients.patient_of`) go before a stated id.

    Args:
        data: a folder with `NORMAL/` and `PNEUMONIA/`; a folder with such folders per split; a CSV manifest as
            `training.manifests` describes it; a folder or a table as `training.dicom_folders` does; or a MedMNIST
            `.npz`.
        split: which part, where the data are divided; None: the whole; class folders must then not be divided.

    Returns:
        The cases, at least one, sorted by name.

    Raises:
        DataError: if nothing is there, a label or a class folder is neither of the two, a listed file is missing, a
            class folder is empty, a patient is in two parts of a manifest, folders are divided and no split was named,
            or a name is not in UTF-8.
    """
    if data.suffix == ".npz":
        return _named(data, archive_cases(data, split))
    if table := label_table(data):
        return _named(data, dicom_cases(table))
    if data.suffix == ".csv":
        return _named(data, manifest_cases(data, split))
    return _named(data, _class_folders(data, split))


def find_parts(data: Path, *, leaks: bool = False) -> dict[str, list[Case]]:
    """List the labelled films of every part of a data set, by the part's name; `all` where it is not divided.

    Args:
        data: as for `find_cases`.
        leaks: take a manifest with a patient in two parts, too, for the audit is to find them all.

    Raises:
        DataError: as `find_cases`.
    """
    if _is_manifest(data):
        if not leaks:
            find_cases(data)
        parts = {name or "all": cases for name, cases in manifest_parts(data).items()}
        refuse_missing(data, [case for cases in parts.values() for case in cases])
        return {name: _named(data, cases) for name, cases in parts.items()} or {"all": _named(data, [])}
    names = archive_parts(data) if data.suffix == ".npz" else _folder_parts(data)
    return {name: find_cases(data, name) for name in names} if names else {"all": find_cases(data)}


def find_all_parts(sets: Sequence[Path]) -> dict[str, list[Case]]:
    """List the labelled films of every part of several data sets; the parts of more than one are called `source/part`.

    Patients that no name or table tells are different ones in different sets.

    Raises:
        DataError: as `find_parts`, but for patients in two parts, which are for the audit to find; or if two sets have
            one name.
    """
    if len(sets) == 1:
        return find_parts(sets[0], leaks=True)
    sources = [source_name(data) for data in sets]
    if len(set(sources)) < len(sources):
        raise DataError(f"two data sets have the same folder name ({', '.join(sources)}); rename one")
    return {
        f"{source}/{part}": [_apart(case, source) for case in cases]
        for source, data in zip(sources, sets, strict=True)
        for part, cases in find_parts(data, leaks=True).items()
    }


def _apart(case: Case, source: str) -> Case:
    return replace(case, patient=f"{source}/{case.patient}") if case.patient.startswith(ANONYMOUS) else case


def source_name(data: Path) -> str:
    """Name a data set after its folder, or an archive after itself."""
    if data.suffix == ".npz":
        return data.stem
    return data.resolve().parent.name if data.suffix == ".csv" else data.resolve().name


def require_both_classes(cases: Sequence[Case], use: str) -> None:
    """Check, before anything is read, that there are films of both classes.

    Args:
        cases: of all data sets that are used together.
        use: what for, as in `training`.

    Raises:
        DataError: if a class is absent.
    """
    for label, name in enumerate(CLASSES):
        if not any(case.label == label for case in cases):
            raise DataError(f"all {len(cases)} films for {use} are {CLASSES[1 - label]}; add films that are {name}")


def _named(data: Path, cases: Sequence[Case]) -> list[Case]:
    if not cases:
        raise DataError(f"{data} holds no labelled films; expected {_LAYOUTS}")
    for case in cases:
        _refuse_unprintable(case.name)
    return sorted((replace(case, source=source_name(data)) for case in cases), key=lambda case: case.name)


def _refuse_unprintable(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"the file name {name!r} is not in UTF-8 and cannot be written down; rename the file") from None


def _is_manifest(data: Path) -> bool:
    return data.suffix == ".csv" and not label_table(data)


def _folder_parts(data: Path) -> list[str]:
    if not data.is_dir() or _has_classes(data):
        return []
    return sorted(entry.name for entry in data.iterdir() if _has_classes(entry))


def _class_folders(data: Path, split: str | None) -> list[Case]:
    if not data.is_dir():
        raise DataError(f"{data} is none of: {_LAYOUTS}")
    root = data if _has_classes(data) else data / (split or "")
    if not _has_classes(root):
        if parts := _folder_parts(data):
            raise DataError(f"{data} is divided into {', '.join(parts)}: name one of these folders")
        raise DataError(f"{data} holds no labelled films; expected {_LAYOUTS}")
    _refuse_other_classes(root)
    return [case for label in range(len(CLASSES)) for case in _class_folder(data, root, label)]


def _refuse_other_classes(root: Path) -> None:
    others = [entry.name for entry in sorted(root.iterdir()) if entry.is_dir() and entry.name not in CLASSES]
    if seen := [name for name in others if not name.startswith((".", "__"))]:  # __MACOSX is no class
        raise DataError(
            f"{root} has the folders {', '.join(seen)} beside {' and '.join(CLASSES)}, and no label is known for them; "
            "move them away"
        )


def _class_folder(data: Path, root: Path, label: int) -> list[Case]:
    folder = root / CLASSES[label]
    # A link that leads nowhere, or to a folder, is listed too: it cannot be read, and that is told.
    entries = [path for path in sorted(folder.rglob("*")) if path.is_file() or path.is_symlink()]
    files = [path for path in entries if not path.name.startswith(".")]
    if folder.is_dir() and not files:
        raise DataError(f"{folder} is empty; put the {CLASSES[label]} films there, or remove the folder")
    return [
        Case(
            path,
            path.relative_to(root).as_posix(),
            label,
            patient_of(path.name) or f"{ANONYMOUS}{path.relative_to(data).as_posix()}",
        )
        for path in files
    ]


def _has_classes(folder: Path) -> bool:
    return folder.is_dir() and any((folder / name).is_dir() for name in CLASSES)
