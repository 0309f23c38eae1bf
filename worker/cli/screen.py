"""`cxr-triage screen`: files and folders, in this process."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from worker.cli.common import one_line_errors
from worker.cli.outputs import STDOUT, open_outputs, sentence
from worker.model.artifact import default_directory

if TYPE_CHECKING:
    from worker.screening import ScreenedFile

FILMS_LOST = 3


def screen(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders of DICOM, PNG or JPEG.", exists=True)],
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write one flag per file as JSON lines; - is standard output.")
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write one line per frame; - is standard output.")
    ] = None,
    prepared: Annotated[Path | None, typer.Option(help="Folder for what the network saw, as PNG.")] = None,
    cam: Annotated[Path | None, typer.Option(help="Folder for activation maps over the films, as PNG.")] = None,
    model: Annotated[str, typer.Option(help="Model directory, or default: the one that ships.")] = "default",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Screen files and folders here and now; nothing is stored, nothing is sent.

    Every file gets its line. A film without a flag is not said to be normal. Exit code 0; 3 if a film could not be
    read or scored; 2 for wrong usage.
    """
    with one_line_errors(), ExitStack() as open_files:
        # Here, because the other commands must start without torch.
        from worker import screening
        from worker.inference import load_engine

        engine = load_engine(default_directory() if model == "default" else Path(model), device=device)
        outputs = open_outputs(open_files, json_file=json_file, csv_file=csv_file, prepared=prepared, cam=cam)
        files = screening.find_files(paths)
        sentences, lost = [], 0
        for screened in _with_progress(screening.screen_files(files, engine, now=datetime.now(UTC)), len(files)):
            for write in outputs:
                write(screened)
            sentences.append(sentence(screened))
            lost += screening.counts_as_lost(screened, paths)
    if STDOUT not in (json_file, csv_file):
        sys.stdout.writelines(f"{line}\n" for line in sentences)
    if lost:
        raise typer.Exit(FILMS_LOST)


def _with_progress(results: "Iterator[ScreenedFile]", total: int) -> "Iterator[ScreenedFile]":
    """Pass results through; a bar on standard error where that is a terminal."""
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, redirect_stdout=False) as progress:
        yield from progress.track(results, total=total, description="screening")
