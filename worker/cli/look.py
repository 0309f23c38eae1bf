"""`worklist`, `study` and `status`: the same facts as a table for people and as JSON for programs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console, Group, RenderableType
from rich.text import Text

from dicom_io.spool import Spool
from worker.cli.common import ConfigOption, JsonOption, one_line_errors, open_database, print_json
from worker.cli.refreshing import WatchOption, require_watchable
from worker.cli.refreshing import watch as watch_on
from worker.console import WORKLIST_COLUMNS, as_table, model_rows, show, worklist_rows
from worker.db import Database
from worker.errors import ConfigurationError
from worker.level import read_standing
from worker.repository import views
from worker.repository.rescreen_difference import last_run_view
from worker.repository.waiting import unheard_since
from worker.service import utc_now
from worker.settings import Settings, load_settings

_RESCREENED = ("image_id", "frame", "model", "probability", "threshold", "flagged", "previous_probability", "lack")

_FACTS = ("fact", "value")

LimitOption = Annotated[int, typer.Option("--limit", min=1, help="How many of the latest studies to show.")]


def worklist(
    config: ConfigOption = None, *, as_json: JsonOption = False, limit: LimitOption = 200, watch: WatchOption = False
) -> None:
    """Show the latest studies, most urgent first."""
    console = Console()
    with one_line_errors(), open_database(load_settings(config)) as database:
        if watch:
            require_watchable(console, as_json=as_json)
            watch_on(console, lambda: as_table(WORKLIST_COLUMNS, worklist_rows(_entries(database, limit), utc_now())))
            return
        entries = _entries(database, limit)
    if as_json:
        print_json(entries)
    else:
        show(console, WORKLIST_COLUMNS, worklist_rows(entries, utc_now()))


def study(
    uid: Annotated[str, typer.Argument()],
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
    watch: WatchOption = False,
) -> None:
    """Show the whole history of the study with this Study Instance UID."""
    console = Console()
    with one_line_errors(), open_database(load_settings(config)) as database:
        if watch:
            require_watchable(console, as_json=as_json)
            _history(database, uid)
            watch_on(console, lambda: Group(*_tables(_history(database, uid))))
            return
        history = _history(database, uid)
    if as_json:
        print_json(history)
    else:
        _print_history(console, history)


def status(config: ConfigOption = None, *, as_json: JsonOption = False, watch: WatchOption = False) -> None:
    """Show how much work waits, what failed, and which model is in service."""
    console = Console()
    with one_line_errors():
        settings = load_settings(config)
        with open_database(settings) as database:
            if watch:
                require_watchable(console, as_json=as_json)
                watch_on(console, lambda: as_table(_FACTS, _fact_rows(_facts(database, settings))))
                return
            facts = _facts(database, settings)
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
    else:
        show(console, _FACTS, _fact_rows(facts))


def _entries(database: Database, limit: int) -> list[views.WorklistEntry]:
    with database.read() as session:
        return views.worklist(session, limit=limit)


def _history(database: Database, uid: str) -> views.StudyHistory:
    with database.read() as session:
        history = views.study_history(session, uid)
    if history is None:
        raise ConfigurationError(f"no study {uid} was received; `cxr-triage worklist` lists those that were")
    return history


def _facts(database: Database, settings: Settings) -> dict[str, Any]:
    with database.read() as session:
        current, run = views.service_status(session), last_run_view(session)
        unheard = unheard_since(session, utc_now(), settings.escalate_after_minutes)
        standing = read_standing(session.connection())
    rescreening = None if run is None else run.model_dump(mode="json")
    reading = {"unheard_since": None if unheard is None else unheard.isoformat()}
    schema = {"version": version("cxr-triage"), "schema_level": standing.level if standing else None}
    return {**current.model_dump(mode="json"), **_disk(settings), **reading, "rescreening": rescreening, **schema}


def _fact_rows(facts: Mapping[str, Any]) -> list[list[str]]:
    return [[name.replace("_", " "), json.dumps(value)] for name, value in facts.items()]


def _parts(history: views.StudyHistory) -> Iterator[tuple[Sequence[str], list[list[str]]]]:
    yield WORKLIST_COLUMNS, worklist_rows([history.study], utc_now())
    of_images = ("id", "state", "reason", "rejection", "withdrawn", "attempts", "last_error", "purged_at")
    of_answers = ("answer", "form", "commitment")
    parts: tuple[tuple[Sequence[BaseModel], tuple[str, ...]], ...] = (
        (history.images, (*of_images, "sop_instance_uid")),
        (history.deliveries, ("destination", "state", *of_answers, "attempts", "last_error", "result_uid")),
        (history.verdicts, ("reader", "verdict", "counts", "flagged", "status", "revision", "said_at", "comment")),
        (history.rescreenings, _RESCREENED),
    )
    for models, columns in parts:
        if models:
            yield columns, model_rows(models, columns)


def _happened(history: views.StudyHistory) -> list[str]:
    times = [event.at.isoformat(" ", "milliseconds").removesuffix("+00:00") for event in history.events]
    return [f"{time}Z  {event.text}" for time, event in zip(times, history.events, strict=True)]


def _tables(history: views.StudyHistory) -> list[RenderableType]:
    """Return a study as it is drawn in place, what happened last on top, as a screen has an end."""
    tables: list[RenderableType] = [as_table(columns, rows) for columns, rows in _parts(history)]
    return [*tables, *(Text(line) for line in reversed(_happened(history)))]


def _print_history(console: Console, history: views.StudyHistory) -> None:
    for columns, rows in _parts(history):
        show(console, columns, rows)
        typer.echo()
    for line in _happened(history):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _disk(settings: Settings) -> dict[str, int | bool | None]:
    free, kept = Spool(settings.spool_dir, min_free_bytes=settings.min_free_bytes).free_bytes(), settings.min_free_bytes
    return {"free_bytes": free, "kept_free_bytes": kept, "refuses_objects": None if free is None else free < kept}
