"""`doctor`: is the running service well?"""

import dataclasses
import json
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console

from worker.cli.common import ConfigOption, JsonOption, one_line_errors
from worker.finding import Finding
from worker.roles import CALLING_AE_TITLE, Role
from worker.settings import Settings, load_settings

NOT_WELL = 1

CallerOption = Annotated[str, typer.Option("--as", help="Calling AE title; must be allowed by the listener.")]


OnlyOption = Annotated[
    Role | None,
    typer.Option(
        "--only", help="Ask only whether this process works on this host: no film, no row. For health checks."
    ),
]


def doctor(
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
    calling: CallerOption = CALLING_AE_TITLE,
    only: OnlyOption = None,
) -> None:
    """Send a drawn film with a known answer through the running service; exit 1 if it is not well.

    A warning is about what would do harm under other circumstances, and leaves the exit code 0.
    """
    well = True
    with one_line_errors():
        settings = load_settings(config)
        for finding in _whole(settings, calling) if only is None else _process(settings, only):
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


def _whole(settings: Settings, calling: str) -> Iterator[Finding]:
    from worker.bootstrap import build_service
    from worker.celery import wake
    from worker.doctor import Doctor

    yield from Doctor(build_service(settings, wake), calling_ae_title=calling).examine()


def _process(settings: Settings, role: Role) -> Iterator[Finding]:
    from worker.celery import broker_answers
    from worker.roles import examine_role

    yield examine_role(role, settings, broker_answers)
