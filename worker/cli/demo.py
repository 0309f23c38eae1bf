"""`demo`: the main job on this machine, from drawn films to flags, without a server, an account or a download."""

from pathlib import Path
from typing import Annotated

import typer

from worker.cli.common import one_line_errors

DataOption = Annotated[
    Path | None, typer.Option("--data", exists=True, file_okay=False, help="Folder of own DICOM, PNG or JPEG files.")
]
FilmsOption = Annotated[int, typer.Option("--films", min=1, max=1000, help="How many phantoms to draw.")]


def demo(data: DataOption = None, films: FilmsOption = 12) -> None:
    """Push films through a service of its own in a temporary folder, show the flags, and end."""
    from worker.demo.run import run

    with one_line_errors():
        run(data, films)
