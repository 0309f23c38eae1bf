"""`worklist`, `study` and `status`: the same facts as a table for people and as JSON for programs."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer
from pydantic import BaseModel
from rich.console import Console

from dicom_io.spool import Spool
from worker.cli.common import ConfigOption, JsonOption, one_line_errors, open_database, print_json
from worker.console import WORKLIST_COLUMNS, model_rows, show, worklist_rows
from worker.errors import ConfigurationError
from worker.level import read_standing
from worker.repository import views
from worker.repository.rescreen_difference import last_run_view
from worker.service import utc_now
from worker.settings import Settings, load_settings

_RESCREENED = ("image_id", "frame", "model", "probability", "threshold", "flagged", "previous_probability", "lack")

LimitOption = Annotated[int, typer.Option("--limit", min=1, help="How many of the latest studies to show.")]


def worklist(config: ConfigOption = None, *, as_json: JsonOption = False, limit: LimitOption = 200) -> None:
    """Show the latest studies, most urgent first."""
    with one_line_errors(), open_database(load_settings(config)) as database, database.read() as session:
        entries = views.worklist(session, limit=limit)
    if as_json:
        print_json(entries)
    else:
        show(Console(), WORKLIST_COLUMNS, worklist_rows(entries, utc_now()))


def study(uid: Annotated[str, typer.Argument()], config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Show the whole history of the study with this Study Instance UID."""
    with one_line_errors():
        with open_database(load_settings(config)) as database, database.read() as session:
            history = views.study_history(session, uid)
        if history is None:
            raise ConfigurationError(f"no study {uid} was received; `cxr-triage worklist` lists those that were")
    if as_json:
        print_json(history)
    else:
        _print_history(history)


def status(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Show how much work waits, what failed, and which model is in service."""
    with one_line_errors():
        settings = load_settings(config)
        with open_database(settings) as database, database.read() as session:
            current, run = views.service_status(session), last_run_view(session)
            standing = read_standing(session.connection())
        rescreening = None if run is None else run.model_dump(mode="json")
        schema = {"version": version("cxr-triage"), "schema_level": standing.level if standing else None}
        facts = {**current.model_dump(mode="json"), **_disk(settings), "rescreening": rescreening, **schema}
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    show(Console(), ("fact", "value"), [[name.replace("_", " "), json.dumps(value)] for name, value in facts.items()])


def _print_history(history: views.StudyHistory) -> None:
    console = Console()
    show(console, WORKLIST_COLUMNS, worklist_rows([history.study], utc_now()))
    of_images = ("id", "state", "reason", "rejection", "withdrawn", "attempts", "last_error", "purged_at")
    of_answers = ("answer", "form", "commitment")
    parts: tuple[tuple[Sequence[BaseModel], tuple[str, ...]], ...] = (
        (history.images, (*of_images, "sop_instance_uid")),
        (history.deliveries, ("destination", "state", *of_answers, "attempts", "last_error", "result_uid")),
        (history.rescreenings, _RESCREENED),
    )
    for models, columns in parts:
        if models:
            typer.echo()
            show(console, columns, model_rows(models, columns))
    typer.echo()
    for event in history.events:
        time = event.at.isoformat(" ", "milliseconds").removesuffix("+00:00")
        console.print(f"{time}Z  {event.text}", markup=False, highlight=False, soft_wrap=True)


def _disk(settings: Settings) -> dict[str, int | bool | None]:
    free, kept = Spool(settings.spool_dir, min_free_bytes=settings.min_free_bytes).free_bytes(), settings.min_free_bytes
    return {"free_bytes": free, "kept_free_bytes": kept, "refuses_objects": None if free is None else free < kept}
