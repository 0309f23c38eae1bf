"""`withdraw`: a reader's word against a wrong flag."""

from typing import Annotated

import typer

from worker.bootstrap import build_service, build_speaker
from worker.cli.common import ConfigOption, one_line_errors, operator
from worker.settings import load_settings


def withdraw(
    uid: Annotated[str, typer.Argument(metavar="STUDY_UID", help="Study Instance UID.")],
    reason: Annotated[
        str, typer.Option(help="Why; kept in the audit trail and sent nowhere. Do not name the patient.")
    ],
    by: Annotated[str, typer.Option(help="Who says so; by default who runs the command.")] = "",
    config: ConfigOption = None,
) -> None:
    """Withdraw the wrong flag of a study: a new result takes the priority back, and whoever was told is told."""
    from worker.celery import wake
    from worker.champion import champion_in_service
    from worker.correcting import Correction

    with one_line_errors():
        service = build_service(load_settings(config), wake)
        speaker = build_speaker(service, champion_in_service(service.database))
        withdrawal = Correction(service, speaker, by.strip() or operator()).withdraw(uid, reason)
    told = ", ".join(withdrawal.destinations) or "nobody: no destination was told of the flag"
    typer.echo(f"the flag of study {uid} is withdrawn by result {withdrawal.result_uid}; goes to {told}")
