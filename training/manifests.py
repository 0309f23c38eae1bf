"""CSV manifests: a table of films with path and label, and what else is known."""

from dataclasses import replace
from pathlib import Path

from training.cases import ANONYMOUS, CLASSES, STATED, Case
from training.errors import DataError
from training.facts import stated_facts
from training.patients import patient_of
from training.tables import Row, read_table

_REQUIRED = ("path", "label")
_LABELS = {"0": 0, "1": 1, CLASSES[0]: 0, CLASSES[1]: 1}


def manifest_parts(manifest: Path) -> dict[str, list[Case]]:
    """List the films of a manifest by the words in its column split; those without one stand under the empty word.

    Columns: path (relative to the manifest) and label (0, 1 or the class), optionally patient, split, age (`46` or
    `046Y`) and view or view_position. Whether the files are there is not asked.

    Raises:
        DataError: if the manifest cannot be read, lacks a column, or a line has no path or another label.
    """
    parts: dict[str, list[Case]] = {}
    for row in read_table(manifest, _REQUIRED):
        parts.setdefault(row["split"], []).append(_case(manifest, row))
    return parts


def manifest_cases(manifest: Path, split: str | None) -> list[Case]:
    """List the films of one part, those that are in no part included; None: all films.

    Raises:
        DataError: as `manifest_parts`, and if a listed file is missing, a patient is in two parts, or parts are named
            and none of them is the one that was asked for.
    """
    refuse_leaks(manifest)
    parts = manifest_parts(manifest)
    named = [name for name in parts if name]
    if split is not None and named and split not in named:
        raise DataError(f"{manifest} has no part {split}, only {', '.join(named)}; call one of them {split}")
    cases = [case for name, films in parts.items() if split is None or name in ("", split) for case in films]
    refuse_missing(manifest, cases)
    return cases


def refuse_leaks(manifest: Path) -> None:
    """Check that no patient whom a manifest states is in two of its parts.

    Raises:
        DataError: if one is, or as `manifest_parts`.
    """
    # Stated patients only: names of files that merely may be of one patient are for the audit to judge.
    parts: dict[str, str] = {}
    for row in read_table(manifest, _REQUIRED):
        patient, part = row["patient"], row["split"]
        if patient and part and parts.setdefault(patient, part) != part:
            raise DataError(
                f"{manifest} line {row.line}: patient {patient} is in {parts[patient]} and in {part}; "
                "put all films of a patient into one part"
            )


def refuse_missing(table: Path, cases: list[Case]) -> None:
    """Check that the files of a table's films are there.

    Raises:
        DataError: if one is missing; it says how many are, and the first.
    """
    missing = [case for case in cases if not case.path.is_file()]
    if missing:
        raise DataError(
            f"{table} lists {len(missing)} files that are not there, first: {missing[0].name} (as {missing[0].path}); "
            "put them there or take their lines out"
        )


def _case(manifest: Path, row: Row) -> Case:
    label = _LABELS.get(row["label"].upper())
    if label is None:
        raise DataError(
            f"{manifest} line {row.line}: label {row['label']!r} is neither {CLASSES[0]} nor {CLASSES[1]} nor 0 or 1"
        )
    if not row["path"]:
        raise DataError(f"{manifest} line {row.line} has no path")
    path = manifest.parent / row["path"]
    stated = f"{STATED}{row['patient']}" if row["patient"] else f"{ANONYMOUS}{row['path']}"
    # A known file name says more than a table's number, which other tables may have given to somebody else.
    case = Case(path, row["path"], label, patient_of(path.name) or stated)
    facts = stated_facts(row["age"], row["view"] or row["view_position"])
    return replace(case, age=facts.age, view=facts.view)
