"""`models`: which models are and were in service, another one in its place, and the way back."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel
from rich.console import Console

from worker.bootstrap import build_service
from worker.cli.common import ConfigOption, JsonOption, note_command, one_line_errors, operator
from worker.console import model_rows, show
from worker.domain import ModelReference
from worker.errors import ConfigurationError, ModelError
from worker.model.artifact import default_directory
from worker.repository.model_versions import RegisteredModel, champion, in_service_since, registered_models
from worker.service import Service
from worker.settings import load_settings

app = typer.Typer(
    help="Show which models are and were in service, or put another one in service.", no_args_is_help=True
)

DirectoryArgument = Annotated[str, typer.Argument(help="Version directory, or default: the one that ships.")]


class ModelView(BaseModel):
    """A model that is or was in service; `files` says how they stand on this host."""

    in_service: bool
    name: str
    version: str
    sha256: str
    since: datetime | None
    chosen_by: str
    files: str


@app.command("list")
def list_models(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """List the models that are or were in service, and how their files stand on this host."""
    with one_line_errors():
        service = _service(config)
        with service.database.read() as session:
            current, models, since = champion(session), registered_models(session), in_service_since(session)
        views = [
            ModelView(
                in_service=current is not None and model.id == current.id,
                since=since.get(model.reference.sha256),
                chosen_by=model.location,
                files=_files(service, model.reference),
                **model.reference.model_dump(),
            )
            for model in models
        ]
    if as_json:
        typer.echo(json.dumps([view.model_dump(mode="json") for view in views], ensure_ascii=False))
    else:
        columns = tuple(ModelView.model_fields)
        show(Console(), columns, model_rows(views, columns))


@app.command()
def promote(
    directory: DirectoryArgument,
    promotion: Annotated[
        Path | None,
        typer.Option(help="Judgement of `cxr-train compare`; by default promotion.json in DIRECTORY, else beside it."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Put a model in service that `cxr-train compare` found fit to take the place of the present one."""
    from worker.promoting import Change

    with one_line_errors():
        service = _service(config)
        model = Change(service, operator()).promote(_directory(directory), promotion)
        note_command(service.database, "models promote", directory=directory, sha256=model.reference.sha256)
    _tell(model)


@app.command()
def rollback(
    reason: Annotated[str, typer.Option(help="Why; kept in the audit trail.")], config: ConfigOption = None
) -> None:
    """Put the model back that was in service before; again, and the one before that."""
    from worker.promoting import Change

    with one_line_errors():
        if not reason.strip():
            raise ConfigurationError("--reason: say why, for the audit trail")
        service = _service(config)
        model = Change(service, operator()).roll_back(reason.strip())
        note_command(service.database, "models rollback", reason=reason.strip(), sha256=model.reference.sha256)
    _tell(model)


@app.command()
def add(directory: DirectoryArgument, config: ConfigOption = None) -> None:
    """Copy a model's files to their place on this host; which model is in service stays as it is."""
    with one_line_errors():
        service = _service(config)
        installed = service.models.install(_directory(directory))
        note_command(service.database, "models add", directory=directory, sha256=installed.card.sha256)
    typer.echo(
        f"{installed.card.name} {installed.card.version} ({installed.card.sha256}) lies in {installed.directory}"
    )


@app.command()
def path(config: ConfigOption = None) -> None:
    """Print where the files of the model in service lie on this host."""
    from worker.champion import find_champion

    with one_line_errors():
        typer.echo(find_champion(_service(config)).directory)


def _service(config: Path | None) -> Service:
    from worker.celery import wake

    return build_service(load_settings(config), wake)


def _directory(name: str) -> Path:
    return default_directory() if name == "default" else Path(name)


def _files(service: Service, reference: ModelReference) -> str:
    try:
        service.models.find(reference)
    except ConfigurationError:
        return "missing"
    except ModelError:
        return "damaged"
    return "whole"


def _tell(model: RegisteredModel) -> None:
    reference = model.reference
    typer.echo(
        f"{reference.name} {reference.version} ({reference.sha256}) is in service; running workers take it up with "
        "their next batch. Hosts with a data_dir of their own need its files: `cxr-triage models add DIR` there."
    )
