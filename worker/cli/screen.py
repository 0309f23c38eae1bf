"""`cxr-triage screen`: files and folders, in this process and its children."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.common import one_line_errors, stop_on_signals
from worker.cli.outputs import STDOUT, Destinations, Write, open_outputs, sentence
from worker.cli.watch import require_apart, watch_folder
from worker.errors import ConfigurationError
from worker.model.artifact import default_directory, load_card
from worker.service import utc_now

if TYPE_CHECKING:
    from worker.screening.record import Record
    from worker.screening.run import Screener

FILMS_LOST = 3
INTERRUPTED = 130


def screen(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files and folders of DICOM, PNG or JPEG.", exists=True)
    ] = None,
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
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16; near the threshold always fp32.")] = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run: leave out what stands in --json.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Lose what stands in --json and --csv; refused otherwise.")
    ] = False,
    watch: Annotated[
        Path | None,
        typer.Option(help="Keep running and screen what comes to lie in this folder; goes on with --json."),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes that prepare files; default: one per core.")
    ] = None,
) -> None:
    """Screen files and folders here and now; nothing is stored, nothing is sent.

    Every file gets its line. A film without a flag is not said to be normal. Exit code 0; 3 if a film could not be
    read or scored; 2 for wrong usage; 130 if interrupted. --watch ends with 0 when told to.
    """
    with one_line_errors(), ExitStack() as open_files:
        # Here, because the other commands must start without what decodes pixels.
        from worker.screening.processes import PreparingProcesses, cores

        _require_usage(paths, watch, json_file, resume=resume)
        directory = default_directory() if model == "default" else Path(model)
        card = load_card(directory)
        to = Destinations(json_file, csv_file, prepared, cam, resume or watch is not None, overwrite)
        if watch is not None:
            require_apart(watch, to)
        outputs, record = open_outputs(open_files, to, card.sha256)
        if not to.standard_output_taken:
            outputs.append(lambda screened: print(sentence(screened), flush=True))  # noqa: T201
        stop = open_files.enter_context(_stop_on_signals())
        # Begun before torch is imported: their own imports take as long.
        preparing = open_files.enter_context(PreparingProcesses(card.input_spec, processes or cores()))
        from worker.inference import load_engine
        from worker.screening.run import Screener
        from worker.self_test import require_self_test

        engine = load_engine(directory, device=device, precision=precision)
        require_self_test(engine)
        screener = Screener(engine, preparing, now=utc_now, stop=stop)
        if watch is not None:
            watch_folder(watch, screener, record, outputs)
        else:
            _screen_once(paths or [], screener, record, outputs, to)


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop_on_signals()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _require_usage(paths: list[Path] | None, watch: Path | None, json_file: Path | None, *, resume: bool) -> None:
    if bool(paths) == (watch is not None):
        raise ConfigurationError("name the files and folders to screen, or --watch and one folder")
    if resume and json_file in (None, STDOUT):
        raise ConfigurationError("--resume needs --json FILE: the lines there say what is done")


def _screen_once(
    paths: list[Path], screener: "Screener", record: "Record", outputs: list[Write], to: Destinations
) -> None:
    from worker.cli.progress import Pace, Tally, meter
    from worker.screening.ahead import InterruptedRunError
    from worker.screening.listing import find_files
    from worker.screening.record import last_change

    files = [path for path in find_files(paths) if path.resolve() not in to.paths]
    todo = [path for path in files if not record.settles(path, last_change(path))]
    tally, pace = Tally(paths), Pace(len(files), len(files) - len(todo), len(files) - len(todo))
    tally.note_record(record)
    interrupted = False
    try:
        with meter(pace) as shown:
            for number, screened in enumerate(screener.screen(todo, record), start=1):
                for write in outputs:
                    write(screened)
                tally.note_flag(screened.path, screened.flag)
                shown.show(pace.begun_with + number + screener.unchanged)
            shown.show(pace.total)
    except InterruptedRunError:
        interrupted = True
    print(f"{pace.end()}\n{tally.summary()}", file=sys.stderr)  # noqa: T201
    if interrupted:
        print(_how_to_go_on(to), file=sys.stderr)  # noqa: T201
        raise typer.Exit(INTERRUPTED)
    if tally.lost:
        raise typer.Exit(FILMS_LOST)


def _how_to_go_on(to: Destinations) -> str:
    if to.json_file in (None, STDOUT):
        return "cxr-triage: interrupted; with --json FILE a run can be gone on with"
    return "cxr-triage: interrupted; the same command with --resume goes on from here"
