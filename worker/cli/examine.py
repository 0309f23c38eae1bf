"""`doctor`: is the running service well?"""

import dataclasses
import json
from typing import Annotated

import typer
from rich.console import Console

from worker.cli.common import ConfigOption, JsonOption, one_line_errors
from worker.finding import Finding
from worker.settings import load_settings

NOT_WELL = 1

CallerOption = Annotated[str, typer.Option("--as", help="Calling AE title; must be allowed by the listener.")]


def doctor(config: ConfigOption = None, *, as_json: JsonOption = False, calling: CallerOption = "CXRDOCTOR") -> None:
    """Send a drawn film with a known answer through the running service; exit 1 if it is not well.

    A warning is about what would do harm under other circumstances, and leaves the exit code 0.
    """
    from worker.bootstrap import build_service
    from worker.celery import wake
    from worker.doctor import Doctor

    well = True
    with one_line_errors():
        service = build_service(load_settings(config), wake)
        for finding in Doctor(service, calling_ae_title=calling).examine():
            well = well and finding.problem is None
            if as_json:
                typer.echo(json.dumps(dataclasses.asdict(finding)))
            else:
                said = finding.problem or finding.warning or finding.answer
                Console().print(f"{_mark(finding)}  {finding.name}: {said}", soft_wrap=True)
    if not well:
        raise typer.Exit(NOT_WELL)


def _mark(finding: Finding) -> str:
    if finding.problem is not None:
        return "[bold red]NOT WELL[/]"
    return "[green]well[/]" if finding.warning is None else "[yellow]warning[/]"
