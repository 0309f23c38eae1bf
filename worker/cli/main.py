"""`cxr-triage`: the commands, each in its own module."""

import typer

from worker.cli import run

app = typer.Typer(
    name="cxr-triage",
    help="Screens chest radiographs and sends priority flags. Research use only; not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
app.command()(run.serve)
app.command()(run.listen)
app.command()(run.migrate)


def main() -> None:
    """Run the command line."""
    app()
