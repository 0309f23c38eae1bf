"""`commitments`: who asked whether we keep what, what was promised, and reporting again what did not get through."""

from typing import Annotated

import typer
from rich.console import Console

from worker.cli.common import ConfigOption, JsonOption, one_line_errors, open_database, operator, print_json
from worker.console import model_rows, show
from worker.db import Database
from worker.errors import ConfigurationError
from worker.repository import commitment_views
from worker.repository.audit import record_command
from worker.repository.commitments import retry_dead_commitments
from worker.service import utc_now
from worker.settings import load_settings


def commitments(
    action: Annotated[str, typer.Argument(help="`list`, or `retry` to report the dead ones again.")] = "list",
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="How many reported ones to show beside the others.")
    ] = 200,
) -> None:
    """Show the storage commitment requests, or report the dead ones again."""
    with one_line_errors():
        if action not in {"list", "retry"}:
            raise ConfigurationError(f"commitments {action}: unknown; use list or retry")
        with open_database(load_settings(config)) as database:
            if action == "retry":
                typer.echo(f"{_retry(database)} dead commitments put back")
                return
            with database.read() as session:
                rows = commitment_views.commitments(session, limit=limit)
    if as_json:
        print_json(rows)
    else:
        columns = ("calling_ae_title", "state", "references", "failed", "attempts", "last_error", "transaction_uid")
        show(Console(), columns, model_rows(rows, columns))


def _retry(database: Database) -> int:
    with database.begin() as session:
        put_back = retry_dead_commitments(session)
        record_command(session, utc_now(), "commitments retry", operator(), put_back=put_back)
    return put_back
