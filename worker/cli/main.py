"""`cxr-triage`: the commands, each group in its own module."""

import typer

from worker.cli import (
    backup,
    commitments,
    correct,
    deliveries,
    demo,
    examine,
    export_training,
    look,
    metrics,
    models,
    purge,
    quarantine,
    reconcile,
    rescreen,
    run,
    screen,
    shadow,
    simulate,
    spool,
    users,
    web,
)
from worker.leaving import leave_quickly

app = typer.Typer(
    name="cxr-triage",
    help="Screens chest radiographs and sends priority flags. Research use only; not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
for command in (
    run.serve,
    run.listen,
    run.work,
    run.migrate,
    metrics.metrics,
    web.web,
    screen.screen,
    look.worklist,
    look.study,
    look.status,
    deliveries.deliveries,
    commitments.commitments,
    quarantine.quarantine,
    correct.withdraw,
    purge.purge,
    spool.spool,
    backup.backup,
    backup.restore,
    examine.doctor,
    reconcile.reconcile,
    rescreen.rescreen,
    shadow.shadow,
    export_training.export_training,
    simulate.simulate,
    demo.demo,
):
    app.command()(command)
app.add_typer(models.app, name="models")
app.add_typer(users.app, name="users")


def main() -> None:
    """Run the command line."""
    leave_quickly()
    app()
