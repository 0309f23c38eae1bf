"""`backup` and `restore`: the embedded database, the site's models and the received files, as one folder."""

from pathlib import Path
from typing import Annotated

import typer

from worker.backup.manifest import Manifest
from worker.backup.restoring import restore_backup
from worker.backup.taking import take_backup
from worker.cli.common import ConfigOption, one_line_errors
from worker.cli.run import make_data_dir, only_one
from worker.observability import configure_logging
from worker.private_files import keep_files_private
from worker.service import utc_now
from worker.settings import load_settings

NOT_WHOLE = 1

DirectoryArgument = Annotated[Path, typer.Argument(metavar="DIRECTORY", help="Folder of the back-up.")]
SpoolOption = Annotated[bool, typer.Option(help="Copy the received files, too.")]


def backup(directory: DirectoryArgument, config: ConfigOption = None, *, spool: SpoolOption = True) -> None:
    """Copy what this host must not lose into a new folder, while it works; PostgreSQL is `pg_dump`'s, before this."""
    with one_line_errors():
        settings = load_settings(config)
        configure_logging(settings)
        keep_files_private()
        made = take_backup(settings, directory, utc_now(), with_spool=spool)
    _tell(directory, made)
    if made.damaged_models:
        typer.echo(f"left out, as their files are damaged here: {', '.join(made.damaged_models)}", err=True)
        raise typer.Exit(NOT_WHOLE)


def restore(directory: DirectoryArgument, config: ConfigOption = None) -> None:
    """Put a back-up in place where no service runs and no database lies; `migrate` and a start come after it."""
    with one_line_errors():
        settings = load_settings(config)
        configure_logging(settings)
        make_data_dir(settings)
        with only_one(settings):
            done = restore_backup(settings, directory)
    _tell_database(done.manifest, "in place")
    typer.echo(f"models: {done.models}; received files: {done.received_files}")
    if done.damaged_files:
        typer.echo(f"damaged received files, left out: {done.damaged_files}", err=True)
        raise typer.Exit(NOT_WHOLE)


def _tell(directory: Path, made: Manifest) -> None:
    _tell_database(made, "copied")
    received = "left out" if made.received_files is None else made.received_files
    typer.echo(f"models: {len(made.models)}; received files: {received}")
    typer.echo(f"{directory} is whole")


def _tell_database(manifest: Manifest, what: str) -> None:
    if manifest.database is None:
        typer.echo("database: not here but on its server: pg_dump and pg_restore")
    else:
        typer.echo(f"database: {what}, level {manifest.database.level}, as of {manifest.created_at:%Y-%m-%d %H:%M:%SZ}")
