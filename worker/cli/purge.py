"""`purge`: retention by hand, or what it would do."""

from dataclasses import asdict
from typing import Annotated

import typer

from worker.cli.common import ConfigOption, note_command, one_line_errors, open_database
from worker.observability import configure_logging
from worker.purging import Forecast, Purger
from worker.service import Service
from worker.settings import load_settings

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would go and what stays, and do nothing.")]


def purge(config: ConfigOption = None, *, dry_run: DryRunOption = False) -> None:
    """Remove now what retention allows; beat does it every hour. On a host that sees the spool."""
    with one_line_errors():
        settings = load_settings(config)
        configure_logging(settings)
        with open_database(settings) as database:
            purger = Purger(Service(settings, database, _wake_nobody))
            if dry_run:
                _print_forecast(purger.forecast())
                return
            purged = purger.purge()
            note_command(database, "purge", **asdict(purged))
    typer.echo(
        f"gone: {purged.files} received files, {purged.prepared} prepared images, {purged.orphans} files without an "
        f"image, {purged.begun} begun files, {purged.synthetic} studies of the doctor; {purged.bytes} bytes"
    )


def _print_forecast(forecast: Forecast) -> None:
    own = f"{forecast.synthetic} studies of the doctor"
    typer.echo(f"would go: {forecast.files} received files, {forecast.prepared} prepared images, {own}")
    for reason, count in forecast.kept.items():
        typer.echo(f"old, but kept as {reason}: {count}")


def _wake_nobody(_task: str) -> None:
    """Do nothing: purging makes no work."""
