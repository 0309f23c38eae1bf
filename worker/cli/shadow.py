"""`shadow`: what would have been flagged in shadow mode, against what the readers say."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.common import ConfigOption, JsonOption, one_line_errors, open_database
from worker.errors import ConfigurationError
from worker.service import utc_now
from worker.settings import load_settings

_DAY = ["%Y-%m-%d"]
SinceOption = Annotated[
    datetime | None,
    typer.Option(
        "--since", formats=_DAY, help="First day the studies were received, UTC; 13 weeks.", show_default=False
    ),
]
UntilOption = Annotated[
    datetime | None, typer.Option("--until", formats=_DAY, help="Last day, UTC, included; today.", show_default=False)
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", help="Write the report as an HTML file, to print.", show_default=False)
]


def shadow(
    config: ConfigOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    output: OutputOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Compare what would have been flagged in shadow mode with the readers' verdicts."""
    from worker.shadow_report.making import make_report, period
    from worker.shadow_report.page import render
    from worker.shadow_report.summary import summary

    with one_line_errors():
        settings, now = load_settings(config), utc_now()
        if output is not None and not output.absolute().parent.is_dir():
            raise ConfigurationError(f"--output: there is no folder {output.absolute().parent}")
        start, end = period(_utc(since), _utc(until), now)
        with open_database(settings) as database, database.read() as session:
            found = make_report(session, start, end, now, shadow=settings.shadow)
        if output is not None:
            output.write_text(render(found), encoding="utf-8")
        if as_json:
            typer.echo(found.to_json(), nl=False)
        else:
            typer.echo("\n".join(summary(found)))


def _utc(day: datetime | None) -> datetime | None:
    return None if day is None else day.replace(tzinfo=UTC)
