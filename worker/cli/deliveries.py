"""`deliveries`: what waits in the outbox and the dead letters, and sending those again."""

from typing import Annotated

import typer
from rich.console import Console

from worker.cli.common import ConfigOption, JsonOption, one_line_errors, open_database, operator, print_json
from worker.console import model_rows, show
from worker.db import Database
from worker.errors import ConfigurationError
from worker.repository import views
from worker.repository.audit import record_command
from worker.repository.outages import DestinationView, destinations
from worker.repository.outbox import retry_dead_deliveries
from worker.service import utc_now
from worker.settings import Settings, load_settings
from worker.tables import Delivery

DestinationOption = Annotated[str | None, typer.Option("--destination", help="Of this destination only.")]


def deliveries(
    action: Annotated[str, typer.Argument(help="`list`, or `retry` to send the dead letters again.")] = "list",
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
    destination: DestinationOption = None,
) -> None:
    """Show what waits in the outbox and the dead letters, or send those again."""
    with one_line_errors():
        if action not in {"list", "retry"}:
            raise ConfigurationError(f"deliveries {action}: unknown; use list or retry")
        settings = load_settings(config)
        with open_database(settings) as database:
            counts = _counts(database, settings, destination)
            if action == "retry":
                _print_retried(_retry(database, destination), sum(count.dead for count in counts))
                return
            rows = _undelivered(database, destination)
    if as_json:
        print_json(rows)
    else:
        _print(counts, rows)


def _undelivered(database: Database, destination: str | None) -> list[views.DeliveryView]:
    conditions = () if destination is None else (Delivery.destination == destination,)
    with database.read() as session:
        return views.undelivered(session, *conditions)


def _counts(database: Database, settings: Settings, destination: str | None) -> list[DestinationView]:
    with database.read() as session:
        counts = destinations(session)
    if destination is None:
        return counts
    known = {count.destination for count in counts} | {known.name for known in settings.effective_destinations}
    if destination not in known:
        raise ConfigurationError(f"--destination {destination}: unknown; there are {', '.join(sorted(known))}")
    return [count for count in counts if count.destination == destination]


def _retry(database: Database, destination: str | None) -> int:
    now, by = utc_now(), operator()
    with database.begin() as session:
        put_back = retry_dead_deliveries(session, now, by=by, destination=destination)
        record_command(session, now, "deliveries retry", by, destination=destination, put_back=put_back)
    return put_back


def _print_retried(put_back: int, dead: int) -> None:
    typer.echo(f"{put_back} dead letters put back")
    if put_back < dead:
        typer.echo(f"{dead - put_back} stay dead: a later result of their study was delivered there")


def _print(counts: list[DestinationView], rows: list[views.DeliveryView]) -> None:
    console = Console()
    columns = tuple(DestinationView.model_fields)
    show(console, columns, model_rows(counts, columns))
    if rows:
        typer.echo()
        columns = ("destination", "state", "commitment", "attempts", "not_before", "last_error", "result_uid")
        show(console, columns, model_rows(rows, columns))
