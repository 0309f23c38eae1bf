"""CSV tables that describe films."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.errors import DataError


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    Attributes:
        line: where it ends in the file, from 1.
        cells: text by column, without spaces at the ends; a cell that is not there is empty.
    """

    line: int
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")


def read_table(table: Path, required: Sequence[str]) -> list[Row]:
    """Read a table whose first line names its columns.

    Raises:
        DataError: if the file cannot be read, is no CSV in UTF-8, or lacks a required column.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [column.strip() for column in reader.fieldnames or ()]
            reader.fieldnames = columns
            rows = [Row(reader.line_num, {c: (cells[c] or "").strip() for c in columns}) for cells in reader]
    except UnicodeDecodeError:
        raise DataError(f"{table} is not in UTF-8; save it again as CSV in UTF-8") from None
    except (OSError, csv.Error) as error:
        raise DataError(f"cannot read the table {table}: {error}") from None
    if not set(required) <= set(columns):
        raise DataError(f"{table} needs the columns {' and '.join(required)}, it has: {', '.join(columns) or 'none'}")
    return rows


def has_columns(table: Path, wanted: Sequence[str]) -> bool:
    """Whether a table has all these columns; False where it cannot be read."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            return set(wanted) <= {column.strip() for column in next(csv.reader(file), [])}
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
