"""`worklist`, `study`, `status` and `deliveries`: the same facts as a table for people and as JSON for programs."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console

from worker.cli.common import ConfigOption, JsonOption, one_line_errors
from worker.console import WORKLIST_COLUMNS, model_rows, show, worklist_rows
from worker.db import Database
from worker.errors import ConfigurationError
from worker.level import require_current
from worker.repository import views
from worker.repository.outbox import retry_dead_deliveries
from worker.service import utc_now
from worker.settings import load_settings

LimitOption = Annotated[int, typer.Option("--limit", min=1, help="How many of the latest studies to show.")]


def worklist(config: ConfigOption = None, *, as_json: JsonOption = False, limit: LimitOption = 200) -> None:
    """Show the latest studies, most urgent first."""
    with one_line_errors(), _database(config).read() as session:
        entries = views.worklist(session, limit=limit)
    if as_json:
        _print_json(entries)
    else:
        show(Console(), WORKLIST_COLUMNS, worklist_rows(entries, utc_now()))


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
    facts = current.model_dump(mode="json")
    show(Console(), ("fact", "value"), [[name.replace("_", " "), json.dumps(value)] for name, value in facts.items()])


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
        columns = ("destination", "state", "attempts", "not_before", "last_error", "result_uid")
        show(Console(), columns, model_rows(rows, columns))


def _print_history(history: views.StudyHistory) -> None:
    console = Console()
    show(console, WORKLIST_COLUMNS, worklist_rows([history.study], utc_now()))
    parts: tuple[tuple[Sequence[BaseModel], tuple[str, ...]], ...] = (
        (history.images, ("state", "reason", "attempts", "last_error", "sop_instance_uid")),
        (history.deliveries, ("destination", "state", "attempts", "answer", "delivered_at")),
        (history.events, ("at", "kind", "detail")),
    )
    for models, columns in parts:
        typer.echo()
        show(console, columns, model_rows(models, columns))


def _database(config: Any) -> Database:
    database = Database(load_settings(config).effective_database_url)
    require_current(database)
    return database


def _print_json(value: BaseModel | Sequence[BaseModel]) -> None:
    plain = (
        value.model_dump(mode="json") if isinstance(value, BaseModel) else [v.model_dump(mode="json") for v in value]
    )
    typer.echo(json.dumps(plain, ensure_ascii=False))
