"""`reconcile`: ask the PACS what never came here, and fetch it."""

from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console

from worker.cli.common import ConfigOption, JsonOption, one_line_errors, operator
from worker.console import model_rows, show
from worker.observability import configure_logging
from worker.reconciling.outcome import Report
from worker.settings import load_settings

NOT_WHOLE = 1

DateOption = Annotated[
    datetime,
    typer.Option("--date", formats=["%Y-%m-%d"], help="Study Date, as the PACS counts days.", show_default=False),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what is missing, and fetch nothing.")]

_FACTS = ("studies", "images", "here", "fetched", "missing", "refused", "unfinished", "limited", "unnamed")
_COLUMNS = ("study_instance_uid", "images", "here", "fetched", "missing", "refused", "reason")


def reconcile(
    day: DateOption, config: ConfigOption = None, *, dry_run: DryRunOption = False, as_json: JsonOption = False
) -> None:
    """Fetch what the PACS has of a day and never came here; exit 1 if something is still missing."""
    from worker.bootstrap import build_service
    from worker.celery import wake
    from worker.intake import Intake
    from worker.reconciling.run import Reconciler

    with one_line_errors():
        settings = load_settings(config)
        configure_logging(settings.model_copy(update={"log_level": "ERROR"}))  # the report and the trail say the rest
        service = build_service(settings, wake)
        reconciler = Reconciler(service, Intake(service).receive)
        days = (day.date(),)
        said = reconciler.compare(days) if dry_run else reconciler.reconcile(days, by=operator())
        service.database.dispose()
    if as_json:
        typer.echo(said.model_dump_json())
    else:
        _print(said)
    if not said.is_whole:
        raise typer.Exit(NOT_WHOLE)


def _print(said: Report) -> None:
    console = Console()
    show(console, ("fact", "value"), [[name, str(getattr(said, name))] for name in _FACTS])
    if said.limited:
        typer.echo(f"{said.pacs} named only a part of its studies: raise its limit, then run this again")
    if said.details:
        typer.echo()
        show(console, _COLUMNS, model_rows(said.details, _COLUMNS))
