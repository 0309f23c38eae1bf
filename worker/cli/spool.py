"""`spool`: what the database names and is not here, and what is here and the database does not name."""

from typing import Annotated

import typer
from rich.console import Console

from worker.cli.common import ConfigOption, JsonOption, note_command, one_line_errors, open_database, print_json
from worker.console import show
from worker.errors import ConfigurationError
from worker.observability import configure_logging
from worker.service import Service
from worker.settings import load_settings
from worker.stocktaking import Stock, take_in, take_stock

NOT_WHOLE = 1

ActionArgument = Annotated[str, typer.Argument(help="`list`, or `take-in` what the database does not name.")]
CallerOption = Annotated[str, typer.Option("--caller", help="AE title that the films taken in shall be from.")]


def spool(
    action: ActionArgument = "list",
    config: ConfigOption = None,
    *,
    caller: CallerOption = "",
    as_json: JsonOption = False,
) -> None:
    """Compare the received files with the database; exit 1 if one is missing. On a host that sees the spool."""
    from worker.celery import wake
    from worker.intake import Intake

    with one_line_errors():
        if action not in {"list", "take-in"}:
            raise ConfigurationError(f"spool {action}: unknown; use list or take-in")
        settings = load_settings(config)
        configure_logging(settings.model_copy(update={"log_level": "ERROR"}))  # the table says it
        with open_database(settings) as database:
            service = Service(settings, database, wake)
            stock = take_stock(service)
            if action == "take-in":
                if not caller.strip():
                    raise ConfigurationError("--caller: name the AE title that the films came from, such as PACS1")
                done = take_in(stock.unknown, Intake(service).receive, caller.strip())
                note_command(database, "spool take-in", taken=done.taken, refused=len(done.refused))
                typer.echo(f"{done.taken} films taken in; they are screened as if just sent")
                for path in done.refused:
                    typer.echo(f"left: {path}: no whole DICOM image", err=True)
                return
    if as_json:
        print_json(stock)
    else:
        _print(stock)
    if stock.missing:
        raise typer.Exit(NOT_WHOLE)


def _print(stock: Stock) -> None:
    facts = {"images": stock.images, "missing": len(stock.missing), "unknown": len(stock.unknown)}
    console = Console()
    show(console, ("fact", "value"), [[name, str(value)] for name, value in facts.items()])
    if stock.missing:
        typer.echo()
        rows = [[image.state, image.study_instance_uid, image.sop_instance_uid] for image in stock.missing]
        show(console, ("state", "study_instance_uid", "sop_instance_uid"), rows)
