"""A folder of DICOM files with a table of labels, in the layout of the RSNA Pneumonia Detection Challenge.

The table has the columns patientId and Target (0 or 1), and several lines for a film with several boxes; the film is
`<patientId>.dcm`. In the challenge's own data every film has an id of its own: films of one person cannot be told to
belong together, and may come to stand on both sides of a split.

Source: Shih et al., Radiology: Artificial Intelligence 1 (2019) e180041.
"""

from pathlib import Path

from training.cases import STATED, Case
from training.errors import DataError
from training.manifests import refuse_missing
from training.tables import Row, has_columns, read_table

LABELS_NAME = "stage_2_train_labels.csv"
_COLUMNS = ("patientId", "Target")


def label_table(data: Path) -> Path | None:
    """Find the table of labels.

    Args:
        data: the table itself, or a folder that holds `stage_2_train_labels.csv`.

    Returns:
        The table, or None if the data have another layout.
    """
    if data.is_dir():
        return data / LABELS_NAME if (data / LABELS_NAME).is_file() else None
    return data if data.suffix == ".csv" and has_columns(data, _COLUMNS) else None


def dicom_cases(table: Path) -> list[Case]:
    """List the films of a table of labels.

    The files lie in the folder that is called as the table, with images in the place of labels
    (`stage_2_train_images`), else in `images`, else beside the table.

    Raises:
        DataError: if the table cannot be read, a Target is neither 0 nor 1, one id has both, an id is no file name, or
            a file is missing.
    """
    folder = _image_folder(table)
    targets: dict[str, int] = {}
    for row in read_table(table, _COLUMNS):
        target = _target(table, row)
        if targets.setdefault(row["patientId"], target) != target:
            raise DataError(
                f"{table} line {row.line}: patientId {row['patientId']} has Target 0 and 1; keep one of them"
            )
    prefix = folder.relative_to(table.parent)
    cases = [
        Case(folder / f"{key}.dcm", (prefix / f"{key}.dcm").as_posix(), target, f"{STATED}{key}")
        for key, target in targets.items()
    ]
    refuse_missing(table, cases)
    return cases


def _image_folder(table: Path) -> Path:
    beside = table.parent
    candidates = (beside / table.stem.replace("labels", "images"), beside / "images")
    return next((folder for folder in candidates if folder.is_dir()), beside)


def _target(table: Path, row: Row) -> int:
    if row["Target"] not in ("0", "1"):
        raise DataError(f"{table} line {row.line}: Target {row['Target']!r} is neither 0 nor 1")
    if not row["patientId"] or "/" in row["patientId"]:
        raise DataError(f"{table} line {row.line}: patientId {row['patientId']!r} is no file name")
    return int(row["Target"])
