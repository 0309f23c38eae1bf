"""`quarantine`: the images that were set aside, why, and back to work with them."""

from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console
from sqlalchemy import ColumnElement

from worker.cli.common import ConfigOption, JsonOption, one_line_errors, open_database, operator, print_json
from worker.console import model_rows, show
from worker.db import Database
from worker.errors import ConfigurationError
from worker.repository.audit import record_command
from worker.repository.quarantine import QuarantinedImage, put_back, quarantined
from worker.service import utc_now
from worker.settings import Settings, load_settings
from worker.tables import Image, Study

AT_ONCE = 500  # images of one transaction
COLUMNS = (
    "image_id",
    "reason",
    "attempts",
    "failed_at",
    "calling_ae_title",
    "file",
    "last_error",
    "study_instance_uid",
    "sop_instance_uid",
)
ActionArgument = Annotated[str, typer.Argument(help="`list`, `show` with tracebacks, or `retry`.")]
StudyOption = Annotated[str | None, typer.Option("--study", help="Images of this Study Instance UID only.")]
ImageOption = Annotated[int | None, typer.Option("--image", help="This image only, by its number in the list.")]


def quarantine(
    action: ActionArgument = "list",
    config: ConfigOption = None,
    *,
    study: StudyOption = None,
    image: ImageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the images that were set aside and why, or put them back to work: their studies are screened anew."""
    with one_line_errors():
        if action not in {"list", "show", "retry"}:
            raise ConfigurationError(f"quarantine {action}: unknown; use list, show or retry")
        settings = load_settings(config)
        with open_database(settings) as database:
            images = _set_aside(database, study, image)
            if action == "retry":
                _retry(database, settings, images, study, image)
                return
    if as_json:
        print_json(images)
    elif action == "show":
        for entry in images:
            _show(entry)
    else:
        show(Console(), COLUMNS, model_rows(images, COLUMNS))


def _set_aside(database: Database, study: str | None, image: int | None) -> list[QuarantinedImage]:
    with database.read() as session:
        images = quarantined(session, *_named(study, image))
    if not images and (study is not None or image is not None):
        raise ConfigurationError("no such image is set aside; `cxr-triage quarantine` lists those that are")
    return images


def _named(study: str | None, image: int | None) -> list[ColumnElement[bool]]:
    conditions = []
    if study is not None:
        conditions.append(Study.study_instance_uid == study)
    if image is not None:
        conditions.append(Image.id == image)
    return conditions


def _retry(
    database: Database, settings: Settings, images: list[QuarantinedImage], study: str | None, image: int | None
) -> None:
    now, by = utc_now(), operator()
    due_at = now + timedelta(minutes=settings.screen_within_minutes)
    again: list[int] = []
    purged: list[int] = []
    for start in range(0, len(images), AT_ONCE):  # so that no listener waits long for a study
        part = [entry.image_id for entry in images[start : start + AT_ONCE]]
        with database.begin() as session:
            done = put_back(session, part, now, due_at=due_at, by=by)
        again += done.images
        purged += done.purged
    with database.begin() as session:
        counts = {"put_back": len(again), "purged": len(purged)}
        record_command(session, now, "quarantine retry", by, study, image=image, **counts)
    typer.echo(f"{len(again)} images put back; their studies get a new result")
    if purged:
        numbers = ", ".join(str(number) for number in purged)
        raise ConfigurationError(
            f"images {numbers}: retention has removed the received files: send them again, then retry"
        )


def _show(entry: QuarantinedImage) -> None:
    for name in ("image_id", "study_instance_uid", "sop_instance_uid", "calling_ae_title", "received_at", "failed_at"):
        typer.echo(f"{name.replace('_', ' ')}: {getattr(entry, name)}")
    typer.echo(f"reason: {entry.reason}, after {entry.attempts} attempts; received file: {entry.file}")
    _show_fault(entry.last_error, entry.traceback)
    for frame in entry.frames:
        typer.echo(f"frame {frame.frame}, after {frame.attempts} attempts")
        _show_fault(frame.last_error, frame.traceback)
    typer.echo()


def _show_fault(error: str | None, traceback: str | None) -> None:
    if error:
        typer.echo(f"  {error}")
    for line in (traceback or "").splitlines():
        typer.echo(f"    {line}")
