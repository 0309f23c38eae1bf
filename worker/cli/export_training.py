"""`export-training`: cases that readers have judged, for `cxr-train`."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from worker.cases import LeftOut
from worker.cli.common import ConfigOption, note_command, one_line_errors
from worker.settings import load_settings

_DAY = ["%Y-%m-%d"]


def export_training(
    since: Annotated[datetime, typer.Option(formats=_DAY, help="First day a verdict was given, UTC.")],
    output: Annotated[Path, typer.Option(help="New or empty folder, or that of an earlier export.")],
    until: Annotated[
        datetime | None, typer.Option(formats=_DAY, help="Last day, UTC, included.", show_default=False)
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Write the cases that readers gave verdicts on as de-identified films and a manifest for cxr-train."""
    from worker.bootstrap import build_service
    from worker.champion import find_champion
    from worker.teaching.exporting import Exporter
    from worker.teaching.folder import MANIFEST_NAME

    with one_line_errors():
        service = build_service(load_settings(config), _wake_nobody)
        exporter = Exporter(service, find_champion(service).card.input_spec)
        end = service.now() if until is None else until.replace(tzinfo=UTC) + timedelta(days=1)
        tally = exporter.export(since.replace(tzinfo=UTC), end, output)
        note_command(service.database, "export-training", since=since.date().isoformat(), films=len(tally.rows))
    typer.echo(
        f"{len(tally.rows)} films of {tally.studies} studies, {tally.positives} positive: {output / MANIFEST_NAME}"
    )
    for reason in LeftOut:
        if count := tally.left_out[reason]:
            typer.echo(f"left out, {reason.value}: {count}")


def _wake_nobody(_: str) -> None:
    """An export makes no work."""
