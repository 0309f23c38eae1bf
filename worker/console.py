"""Tables: aligned and coloured where people look, tab-separated and whole where programs read."""

from collections.abc import Sequence
from datetime import datetime

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from worker.domain import PriorityReason
from worker.repository.views import WorklistEntry

WORKLIST_COLUMNS = (
    *("priority", "status", "reason", "probability", "images", "waiting"),
    *("read", "verdict", "accession", "study"),
)


def show(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows as a table on a terminal, else as lines with tabs, a line of column names first."""
    if console.is_terminal:
        console.print(as_table(columns, rows))
        return
    for row in (columns, *rows):
        typer.echo("\t".join(row))


def as_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return rows as a table; raised studies, whose first cell says HIGH, stand out."""
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*row, style="bold red" if row[0].startswith("HIGH") else "")
    return table


def model_rows(models: Sequence[BaseModel], columns: Sequence[str]) -> list[list[str]]:
    """Return one row of texts per model; empty where a value is null."""
    return [[_text(getattr(model, column)) for column in columns] for model in models]


def worklist_rows(entries: Sequence[WorklistEntry], now: datetime) -> list[list[str]]:
    """Return one row per study; waiting times are up to `now`."""
    return [
        [
            _priority(entry),
            (entry.status or "") + ("" if entry.complete else " (open)"),
            _text(entry.reason),
            "" if entry.probability is None else f"{entry.probability:.3f}",
            str(entry.images),
            "" if entry.waiting_since is None else f"{(now - entry.waiting_since).total_seconds():.0f} s",
            "" if entry.read_at is None else "read",
            _text(entry.verdict),
            _text(entry.accession_number),
            entry.study_instance_uid,
        ]
        for entry in entries
    ]


def _priority(entry: WorklistEntry) -> str:
    cause = "" if entry.priority_reason in {None, PriorityReason.FINDING} else f" ({entry.priority_reason})"
    return _text(entry.priority) + cause


def _text(value: object) -> str:
    return "" if value is None else " ".join(str(value).split())
