"""`users`: who may look at the page."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from worker.cli.common import ConfigOption, JsonOption, one_line_errors, open_database, operator, print_json
from worker.console import model_rows, show
from worker.domain import UserRole
from worker.errors import ConfigurationError
from worker.repository.users import UserView, users
from worker.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from worker.accounts import Accounts

app = typer.Typer(help="Who may look at the worklist page.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="The name to sign in with.")]
RoleOption = Annotated[UserRole, typer.Option(help="What the user may do; `interface` is a program, and gets a token.")]
AskOption = Annotated[bool, typer.Option("--ask", help="Ask for the password here instead of drawing one.")]


@app.command("list")
def list_users(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Show every user."""
    with one_line_errors(), open_database(load_settings(config)) as database, database.read() as session:
        known = users(session)
    if as_json:
        print_json(known)
        return
    columns = tuple(UserView.model_fields)
    show(Console(), columns, model_rows(known, columns))


@app.command()
def add(
    name: NameArgument, role: RoleOption = UserRole.READER, config: ConfigOption = None, *, ask: AskOption = False
) -> None:
    """Add a user; a password or token that is drawn is shown once."""
    with _accounts(config) as accounts:
        drawn = accounts.add(name, role, by=operator(), password=_asked(ask=ask))
        _tell(f"user {name} added, role {role.value}", drawn)


@app.command()
def passwd(name: NameArgument, config: ConfigOption = None, *, ask: AskOption = False) -> None:
    """Give a user another password, or a program another token, and sign them out everywhere."""
    with _accounts(config) as accounts:
        drawn = accounts.change_password(name, _asked(ask=ask), by=operator())
        _tell(f"user {name}: changed, and signed out everywhere", drawn)


@app.command()
def disable(name: NameArgument, config: ConfigOption = None) -> None:
    """Keep a user out from now on; what they said stays."""
    with _accounts(config) as accounts:
        accounts.disable(name, by=operator())
        _tell(f"user {name} is kept out", None)


@app.command()
def enable(name: NameArgument, config: ConfigOption = None) -> None:
    """Let a disabled user in again."""
    with _accounts(config) as accounts:
        accounts.enable(name, by=operator())
        _tell(f"user {name} may sign in again", None)


@contextmanager
def _accounts(config: "Path | None") -> Iterator["Accounts"]:
    with one_line_errors():
        try:
            from worker.accounts import Accounts
        except ModuleNotFoundError as error:
            raise ConfigurationError(f"users: {error}: install cxr-triage[web] on this host") from error
        with open_database(load_settings(config)) as database:
            yield Accounts(database)


def _asked(*, ask: bool) -> str | None:
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True)) if ask else None


def _tell(done: str, drawn: str | None) -> None:
    typer.echo(done if drawn is None else f"{done}; shown once: {drawn}")
