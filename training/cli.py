"""`cxr-train`: makes, judges and publishes models."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from dicom_io.errors import DicomIoError
from training import fitting, refreshing
from training.appraisal import Appraisal
from training.auditing import audit_parts
from training.calibrating import calibrate as recalibrate
from training.calibrating import checked_site
from training.checkpoints import resume
from training.config import load_recipe, recipe_names
from training.datasets import find_all_parts, find_cases
from training.errors import CheckpointError, TrainingError
from training.initial import initial_weights
from training.judging import evaluate_model, evaluated_part, judge_promotion
from training.loop import new_run
from training.parts import read_parts
from training.report.caveats import collapse_line
from training.tensorboard import open_board
from worker.errors import TriageError
from worker.model.artifact import ModelCard, default_directory
from worker.model.input_spec import InputSpec
from worker.model.promotion import Promotion

app = typer.Typer(
    name="cxr-train",
    help="Makes, judges and publishes the models that cxr-triage runs.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
_REFUSED = 2
_errors = Console(stderr=True)

DataOption = Annotated[
    list[Path],
    typer.Option("--data", exists=True, help="Class folders, .csv manifest or .npz; the first chooses the threshold."),
]
KeepOutOption = Annotated[
    list[Path] | None, typer.Option("--keep-out", exists=True, help="Data whose patients stay out of the run.")
]
OldOption = Annotated[
    list[Path] | None, typer.Option("--old", exists=True, help="Earlier cases, of which each epoch takes a share.")
]
InitOption = Annotated[
    str | None, typer.Option(help="Version directory to continue from; champion or default: the one that ships.")
]
ImageNetOption = Annotated[
    Path | None, typer.Option(help="File with ImageNet weights, in place of torchvision's download.", exists=True)
]
SmokeOption = Annotated[bool, typer.Option("--smoke", help="A few steps on a few films, to see that all works.")]
RecipeOption = Annotated[str, typer.Option(help=f"One of: {', '.join(recipe_names())}.")]
OutputOption = Annotated[Path, typer.Option(help="Folder for what is written; made where absent.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


@app.command()
def fit(
    data: DataOption,
    output: OutputOption,
    recipe: RecipeOption = "champion",
    keep_out: KeepOutOption = None,
    old: OldOption = None,
    init: InitOption = None,
    imagenet: ImageNetOption = None,
    smoke: SmokeOption = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write events to OUTPUT/tensorboard.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Train a model and publish it to OUTPUT/model, with OUTPUT/report.html; a broken run goes on where it stood."""
    with _one_line_errors():
        chosen = load_recipe(recipe).smoke() if smoke else load_recipe(recipe)
        model = None if init is None else _directory(init)
        name, weights = initial_weights(chosen, model=model, imagenet=imagenet, tell=_tell)
        chosen = chosen.starting_from(name)
        parts = read_parts(data, keep_out or [], chosen, _tell, _steps, old=old or (), smoke=smoke)
        board = open_board(output) if tensorboard else None
        card = fitting.fit(parts, chosen, output, _device(device), _tell, _steps, initial=weights, board=board)
        _tell_card(card, output / fitting.MODEL_NAME)


@app.command()
def publish(
    run: Annotated[Path, typer.Option(help="Output folder of a run, finished or not.", exists=True, file_okay=False)],
    data: DataOption,
    output: OutputOption,
    recipe: RecipeOption = "champion",
    keep_out: KeepOutOption = None,
    old: OldOption = None,
    init: InitOption = None,
    imagenet: ImageNetOption = None,
) -> None:
    """Write a version directory from the last checkpoint of a run, on the run's own data, recipe and first weights."""
    with _one_line_errors():
        chosen = load_recipe(recipe)
        model = None if init is None else _directory(init)
        chosen = chosen.starting_from(initial_weights(chosen, model=model, imagenet=imagenet, tell=_tell)[0])
        parts = read_parts(data, keep_out or [], chosen, _tell, _steps, old=old or ())
        state = new_run(chosen, InputSpec(), torch.device("cpu"))
        if not resume(state, chosen, parts.sha256, run):
            raise CheckpointError(f"{run} holds no checkpoint; run `cxr-train fit --output {run}` first")
        _tell_card(fitting.publish_run(state, chosen, parts, output), output)


@app.command()
def refresh(
    data: DataOption,
    old: Annotated[list[Path], typer.Option("--old", exists=True, help="Earlier cases, mixed in against forgetting.")],
    locked: Annotated[Path, typer.Option(help="Cases that judge; their patients stay out of the run.", exists=True)],
    output: OutputOption,
    champion: Annotated[str, typer.Option(help="Version directory of the model in service, or default.")] = "default",
    recipe: RecipeOption = "refresh",
    site: Annotated[str, typer.Option(help="Short name of the site; becomes part of the version.")] = "refreshed",
    smoke: SmokeOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Continue from the champion on new cases, certify it, and compare both on locked ones; promotes nothing."""
    with _one_line_errors():
        folder, verdict = refreshing.refresh(
            _directory(champion),
            load_recipe(recipe),
            output,
            _device(device),
            site=checked_site(site),
            smoke=smoke,
            data=data,
            old=old,
            locked=locked,
            judged_at=datetime.now(UTC),
            tell=_tell,
            steps=_steps,
        )
        _tell_verdict(verdict)
        typer.echo(f"written to {folder}; nothing is promoted: see report.html there, then `cxr-triage models promote`")


@app.command()
def evaluate(
    data: Annotated[Path, typer.Option(help="Class folders, .csv manifest or .npz.", exists=True)],
    output: OutputOption,
    model: Annotated[str, typer.Option(help="Version directory, or default: the one that ships.")] = "default",
    device: DeviceOption = "auto",
    split: Annotated[str | None, typer.Option(help="Part of divided data; test, or the only one.")] = None,
) -> None:
    """Judge a model on labelled films: writes metrics.json, scores.csv, report.html and its figures."""
    with _one_line_errors():
        with _steps("reading films", len(evaluated_part(data, split)[1])) as advance:
            where = _device(device)
            found, unreadable = evaluate_model(_directory(model), data, output, where, advance, split=split)
        for film in unreadable:
            _tell(f"left out, cannot be read: {film.name} ({film.cause})")
        _tell_appraisal(found, output)


@app.command()
def calibrate(
    data: Annotated[Path, typer.Option(help="Labelled films of the site: folders, .csv or .npz.", exists=True)],
    output: OutputOption,
    site: Annotated[str, typer.Option(help="Short name of the site; becomes part of the version.")],
    model: Annotated[str, typer.Option(help="Version directory, or default: the one that ships.")] = "default",
    sensitivity: Annotated[float, typer.Option(min=0.5, max=0.999, help="Least sensitivity to promise.")] = 0.98,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="Confidence of the promise.")] = 0.95,
) -> None:
    """Certify the threshold again on a site's own films; refuses where they are too few."""
    with _one_line_errors():
        with _steps("reading films", len(find_cases(data))) as advance:
            card = recalibrate(
                _directory(model), data, output, site=site, target=sensitivity, confidence=confidence, advance=advance
            )
        _tell_card(card, output)


@app.command()
def audit(
    data: Annotated[
        list[Path], typer.Option(exists=True, help="Class folders, .csv, DICOM folder or .npz; several are compared.")
    ],
    output: Annotated[Path | None, typer.Option(help="JSON file for the whole audit.")] = None,
) -> None:
    """Look for leaks between the parts of data sets, and for shortcuts to their labels."""
    with _one_line_errors():
        parts = find_all_parts(data)
        with _steps("reading films", sum(len(cases) for cases in parts.values())) as advance:
            found = audit_parts(parts, advance)
        for film in found.unreadable:
            _tell(f"left out, cannot be read: {film.name} ({film.cause})")
        if output:
            output.write_text(found.model_dump_json(indent=2) + "\n")
        typer.echo("\n".join(found.lines()))


@app.command()
def compare(
    challenger: Annotated[Path, typer.Option(help="Version directory of the new model.", exists=True, file_okay=False)],
    data: Annotated[Path, typer.Option(help="Locked cases: class folders, .csv or .npz.", exists=True)],
    output: OutputOption,
    champion: Annotated[str, typer.Option(help="Version directory, or default: the one that ships.")] = "default",
    device: DeviceOption = "auto",
) -> None:
    """Judge a challenger against the champion on locked cases: writes promotion.json and a line in ledger.jsonl."""
    with _one_line_errors():
        now = datetime.now(UTC)
        verdict = judge_promotion(_directory(champion), challenger, data, output, _device(device), judged_at=now)
        _tell_verdict(verdict)


def _directory(model: str) -> Path:
    return default_directory() if model in ("default", "champion") else Path(model)


def _tell_appraisal(found: Appraisal, output: Path) -> None:
    figures = {
        "AUC": found.auc,
        "sensitivity": found.sensitivity,
        "specificity": found.specificity,
        "balanced accuracy": found.balanced_accuracy,
    }
    shown = ", ".join(f"{name} {value:.4f}" for name, value in figures.items() if value is not None)
    typer.echo(f"{found.n} films, {found.positives} positive: {shown} (written to {output})")
    for line in found.floor.lines():
        typer.echo(line)
    if found.class_collapse:
        _tell(collapse_line(found))


def _tell_card(card: ModelCard, directory: Path) -> None:
    point = card.operating_point
    typer.echo(f"{directory}: {card.name} {card.version} ({card.status}), {card.sha256}")
    if not point.promises:
        typer.echo(f"threshold {point.threshold_logit:.4f} by {point.method}: promises nothing")
        return
    typer.echo(
        f"threshold {point.threshold_logit:.4f}: sensitivity at least {point.target_sensitivity:g} at "
        f"{point.confidence:.0%} confidence, from {point.positives} positive patients, {point.allowed_misses} missed"
    )


def _tell_verdict(verdict: Promotion) -> None:
    typer.echo(
        f"{verdict.cases} cases, {verdict.positive_patients} positive patients: {verdict.sensitivity_lost} lost, "
        f"{verdict.sensitivity_gained} gained, sensitivity changes by at least "
        f"{verdict.sensitivity_difference_at_least:+.4f}, specificity by {verdict.specificity_difference:+.4f}, "
        f"AUC by {verdict.auc_difference:+.4f}"
    )
    better = f"better in {', '.join(verdict.better)}" if verdict.better else "better in nothing"
    inferior = "not inferior" if verdict.not_inferior else "may be inferior"
    typer.echo(f"{'promotable' if verdict.promotable else 'not promotable'}: {inferior}, {better}")


def _tell(line: str) -> None:
    _errors.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _steps(name: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar where people look, nothing where nobody does."""
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_errors, disable=not _errors.is_terminal) as progress:
        task = progress.add_task(name, total=total)
        yield lambda: progress.advance(task)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("there is no CUDA device; use --device cpu")
    if name not in ("cpu", "cuda"):
        raise TrainingError(f"device {name!r} is none of auto, cpu and cuda")
    return torch.device(name)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Tell what is wrong in one line and exit with 2; bugs keep their traceback."""
    try:
        yield
    except (TrainingError, TriageError, DicomIoError) as error:
        message = str(error)
    except OSError as error:  # a disk that fills, an output that is a file
        message = f"{error.filename or 'output'}: {error.strerror or error}"
    else:
        return
    _tell(f"cxr-train: {message}")
    raise typer.Exit(_REFUSED)
