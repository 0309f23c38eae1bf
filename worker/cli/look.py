"""`worklist`, `study`, `status` and `deliveries`: the same facts as a table for people and as JSON for programs."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from worker.cli.common import ConfigOption, JsonOption, one_line_errors
from worker.db import Database
from worker.errors import ConfigurationError
from worker.repository import views
from worker.repository.outbox import retry_dead_deliveries
from worker.schema import require_current
from worker.service import utc_now
from worker.settings import load_settings

LimitOption = Annotated[int, typer.Option("--limit", min=1, help="Most studies to show.")]


def worklist(config: ConfigOption = None, *, as_json: JsonOption = False, limit: LimitOption = 200) -> None:
    """Show the studies, most urgent first."""
    with one_line_errors(), _database(config).read() as session:
        entries = views.worklist(session, limit=limit)
    if as_json:
        _print_json(entries)
    else:
        Console().print(worklist_table(entries, utc_now()))


def study(uid: Annotated[str, typer.Argument()], config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Show the whole history of the study with this Study Instance UID."""
    with one_line_errors():
        with _database(config).read() as session:
            history = views.study_history(session, uid)
        if history is None:
            raise ConfigurationError(f"no study {uid} was received; `cxr-triage worklist` lists those that were")
    if as_json:
        _print_json(history)
    else:
        _print_history(history)


def status(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Show how much work waits, what failed, and which model is in service."""
    with one_line_errors(), _database(config).read() as session:
        current = views.service_status(session)
    if as_json:
        _print_json(current)
        return
    table = Table("what", "value", box=None)
    for name, value in current.model_dump(mode="json").items():
        table.add_row(name.replace("_", " "), json.dumps(value) if isinstance(value, dict) else _text(value))
    Console().print(table)


def deliveries(
    action: Annotated[str, typer.Argument(help="`list`, or `retry` to send the dead letters again.")] = "list",
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show what waits in the outbox and the dead letters, or send those again."""
    with one_line_errors():
        database = _database(config)
        if action == "retry":
            with database.begin() as session:
                typer.echo(f"{retry_dead_deliveries(session)} dead letters put back")
            return
        if action != "list":
            raise ConfigurationError(f"deliveries {action}: unknown; use list or retry")
        with database.read() as session:
            rows = views.undelivered(session)
    if as_json:
        _print_json(rows)
    else:
        Console().print(_table(rows, ("destination", "state", "attempts", "not_before", "last_error", "result_uid")))


def worklist_table(entries: Sequence[views.WorklistEntry], now: datetime) -> Table:
    """Return the worklist as a table; waiting times are up to `now`."""
    table = Table("priority", "status", "reason", "probability", "images", "waiting", "accession", "study", box=None)
    for entry in entries:
        waiting = f"{(now - entry.received_at).total_seconds():.0f} s"
        probability = "" if entry.probability is None else f"{entry.probability:.2f}"
        state = (entry.status or "…") + ("" if entry.complete else " (open)")
        cells = (_text(entry.priority), state, _text(entry.reason), probability, str(entry.images), waiting)
        style = "bold red" if entry.priority else ""
        table.add_row(*cells, _text(entry.accession_number), entry.study_instance_uid, style=style)
    return table


def _print_history(history: views.StudyHistory) -> None:
    console = Console()
    console.print(worklist_table([history.study], utc_now()))
    console.print(_table(history.images, ("state", "reason", "attempts", "last_error", "sop_instance_uid")))
    console.print(_table(history.deliveries, ("destination", "state", "attempts", "answer", "delivered_at")))
    console.print(_table(history.events, ("at", "kind", "detail")))


def _table(rows: Sequence[BaseModel], columns: Sequence[str]) -> Table:
    table = Table(*(column.replace("_", " ") for column in columns), box=None)
    for row in rows:
        table.add_row(*(_text(getattr(row, column)) for column in columns))
    return table


def _database(config: Any) -> Database:
    database = Database(load_settings(config).effective_database_url)
    require_current(database)
    return database


def _print_json(value: BaseModel | Sequence[BaseModel]) -> None:
    plain = (
        value.model_dump(mode="json") if isinstance(value, BaseModel) else [v.model_dump(mode="json") for v in value]
    )
    typer.echo(json.dumps(plain, ensure_ascii=False))


def _text(value: object) -> str:
    return "" if value is None else str(value)
