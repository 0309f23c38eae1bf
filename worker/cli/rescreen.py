"""`rescreen`: score studies of the past again, and report what the model says otherwise."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from worker.bootstrap import build_service
from worker.cli.common import ConfigOption, one_line_errors, operator
from worker.cli.rescreen_progress import watch
from worker.errors import ConfigurationError, RescreenError
from worker.observability import configure_logging
from worker.repository.rescreen_difference import difference
from worker.repository.rescreen_views import Difference, Shift
from worker.repository.rescreening import Run, find_run
from worker.rescreening.starting import Order, Started, Starter, describe
from worker.service import Service
from worker.settings import load_settings

NOT_WHOLE = 1

_DAY = ["%Y-%m-%d"]
SinceOption = Annotated[
    datetime | None,
    typer.Option("--since", formats=_DAY, help="First day the studies were received, UTC.", show_default=False),
]
UntilOption = Annotated[
    datetime | None, typer.Option("--until", formats=_DAY, help="Last day, UTC, included.", show_default=False)
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="Version or SHA-256 of a model that is or was in service.", show_default=False),
]
DeliverOption = Annotated[
    bool, typer.Option("--deliver", help="Tell newly flagged studies younger than rescreen_deliver_days.")
]
JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write the difference as JSON; - is standard output.", show_default=False)
]
HtmlOption = Annotated[
    Path | None,
    typer.Option("--html", help="Write it as a page; it names accession numbers.", show_default=False),
]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end, and report.")]
HereOption = Annotated[bool, typer.Option("--here", help="Score in this process; needs no score worker.")]
StopOption = Annotated[bool, typer.Option("--stop", help="End the run that is going on; what is scored stays.")]
NumberOption = Annotated[
    int | None, typer.Option("--report", min=1, help="Report an earlier run, by its number, and start none.")
]


def rescreen(
    config: ConfigOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    model: ModelOption = None,
    json_file: JsonOption = None,
    html_file: HtmlOption = None,
    number: NumberOption = None,
    *,
    deliver: DeliverOption = False,
    wait: WaitOption = True,
    here: HereOption = False,
    stop: StopOption = False,
) -> None:
    """Score studies again with the model in service from their prepared images; report what it says otherwise."""
    order = Order(_start_of(since), _end_of(until), model, deliver)
    with one_line_errors():
        if here and not wait:
            raise ConfigurationError("--here: the films are scored in this command: leave out --no-wait")
        for file in (json_file, html_file):
            _require_folder(file)
        with _service(config) as service:
            if stop:
                typer.echo(f"{describe(Starter(service, operator()).stop())} was stopped; what it scored stays")
                return
            run = _earlier(service, number) if number else _run(service, order, wait=wait, here=here)
            if run is None:
                return
            with service.database.read() as session:
                found = difference(session, run, service.now())
        _write(found, json_file, html_file)
    if str(json_file) != "-":
        _print(found)
    if found.counts.damaged + found.counts.no_score + found.counts.unanswered:
        raise typer.Exit(NOT_WHOLE)


@contextmanager
def _service(config: Path | None) -> Iterator[Service]:
    from worker.celery import wake

    settings = load_settings(config)
    configure_logging(settings.model_copy(update={"log_level": "ERROR"}))  # the report and the trail say the rest
    service = build_service(settings, wake)
    try:
        yield service
    finally:
        service.database.dispose()


def _run(service: Service, order: Order, *, wait: bool, here: bool) -> Run | None:
    """Start a run, or join the one that is going on, and see it to its end; None where nobody waits for that."""
    started = Starter(service, operator()).start(order)
    console = Console(stderr=True)
    _tell(console, started)
    if not wait:
        typer.echo(f"number {started.run.id}: `cxr-triage rescreen` shows how it goes on")
        return None
    return watch(console, service, started.run, _scoring(service) if here else None)


def _scoring(service: Service) -> Callable[[Callable[[], None]], bool]:
    """Return a step that scores a chunk here, calling back between two batches."""
    try:
        from worker.bootstrap_score import build_engines, build_rescreener, build_scorer
    except ImportError as error:
        raise ConfigurationError(f"--here: {error}: install cxr-triage[score] on this host") from error
    from worker.following import Follower
    from worker.rescreening.preparing import RescreenPreparer

    scorers, preparer = Follower(service, lambda installed: build_scorer(service, installed)), RescreenPreparer(service)
    scorers.current()  # a model that cannot be loaded is told now
    engines = build_engines(service, scorers.current)

    def step(refresh: Callable[[], None]) -> bool:
        return build_rescreener(service, engines, refresh).score_next_chunk() or preparer.prepare_next()

    return step


def _earlier(service: Service, number: int) -> Run:
    with service.database.read() as session:
        run = find_run(session, number)
    if run is None:
        raise RescreenError(f"--report: there is no re-screening {number}; `cxr-triage status` names the last one")
    return run


def _tell(console: Console, started: Started) -> None:
    run, how = started.run, "going on with" if started.attached else "began"
    console.print(f"{how} {describe(run)} {run.expected} frames", markup=False, highlight=False, soft_wrap=True)


def _write(found: Difference, json_file: Path | None, html_file: Path | None) -> None:
    if str(json_file) == "-":
        typer.echo(found.to_json(), nl=False)
    elif json_file is not None:
        json_file.write_text(found.to_json(), encoding="utf-8")
    if html_file is not None:
        from worker.rescreening.page import render

        html_file.write_text(render(found), encoding="utf-8")


def _print(found: Difference) -> None:
    studies, counts = found.studies, found.counts
    lines = [
        f"{counts.studies_scored} of {counts.studies} studies scored again, {counts.frames_scored} frames",
        f"newly flagged: {studies.newly_flagged} studies, {found.run.told} of them told by this run",
        f"no longer flagged: {studies.no_longer_flagged} studies, recorded only: no priority is lowered",
    ]
    lines += [f"{pair.previous.version} -> {found.run.model.version}: {_shift(pair.shift)}" for pair in found.pairs]
    left = {name: getattr(counts, name) for name in ("not_prepared", "damaged", "no_score", "unanswered", "withdrawn")}
    lines += [f"{name.replace('_', ' ')}: {count} frames" for name, count in left.items() if count]
    typer.echo("\n".join(lines))


def _shift(shift: Shift) -> str:
    means = f"mean shift of the probability {shift.mean_probability:+.3f}"
    return f"{means}, 5 % to 95 % of the frames {shift.quantiles['0.05']:+.3f} to {shift.quantiles['0.95']:+.3f}"


def _require_folder(file: Path | None) -> None:
    """Refuse now what would fail when the run has ended."""
    if file is not None and str(file) != "-" and not file.absolute().parent.is_dir():
        raise ConfigurationError(f"{file}: there is no folder {file.absolute().parent}")


def _start_of(day: datetime | None) -> datetime | None:
    return None if day is None else day.replace(tzinfo=UTC)


def _end_of(day: datetime | None) -> datetime | None:
    return None if day is None else day.replace(tzinfo=UTC) + timedelta(days=1)
