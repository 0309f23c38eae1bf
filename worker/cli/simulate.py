"""`simulate`: what flags are worth to a site's readers, and the hosts that it needs, from its own numbers."""

import json
import math
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from worker.cli import simulate_options as options
from worker.cli.common import JsonOption, one_line_errors
from worker.console import show
from worker.errors import ConfigurationError
from worker.simulation.site import Goal, Rates, Site

if TYPE_CHECKING:
    from worker.simulation.whole import Simulation

BUSIEST_READERS = 0.9
MEASURED = Rates()


def simulate(
    studies_per_day: options.StudiesPerDay = 1000,
    images_per_study: options.ImagesPerStudy = 2,
    image_mb: options.ImageMb = 10,
    busy_factor: options.BusyFactor = 2.5,
    readers: options.Readers = None,
    reading_minutes: options.ReadingMinutes = 3,
    reading_shape: options.ReadingShape = "exponential",
    prevalence: options.Prevalence = 0.1,
    sensitivity: options.Sensitivity = None,
    specificity: options.Specificity = None,
    preemptive: options.Preemptive = False,
    escalate_after: options.EscalateAfter = None,
    intake_rate: options.IntakeRate = MEASURED.intake_rate,
    prepare_rate: options.PrepareRate = MEASURED.prepare_rate,
    score_rate: options.ScoreRate = MEASURED.score_rate,
    deliver_rate: options.DeliverRate = MEASURED.deliver_rate,
    utilisation: options.Utilisation = 0.7,
    within_seconds: options.WithinSeconds = 10,
    cores_per_host: options.CoresPerHost = 8,
    hours: options.Hours = None,
    seed: options.Seed = 0,
    *,
    as_json: JsonOption = False,
) -> None:
    """Simulate a site: how long patients wait for a reader with flags and without, and what hosts it needs."""
    with one_line_errors():
        _require_simulator()
        from worker.simulation.durations import Duration
        from worker.simulation.reading_room import ReadingRoom, readers_for
        from worker.simulation.whole import simulate_site

        site = Site(studies_per_day, images_per_study, image_mb, busy_factor)
        found, left_alone = _measured()
        room = ReadingRoom(
            arrivals_per_hour=studies_per_day / 24,
            readers=readers_for(studies_per_day / 24, reading_minutes, BUSIEST_READERS) if readers is None else readers,
            reading=Duration(reading_minutes, reading_shape),
            prevalence=prevalence,
            sensitivity=found if sensitivity is None else sensitivity,
            specificity=left_alone if specificity is None else specificity,
            preemptive=preemptive,
            escalate_after_minutes=escalate_after,
        )
        costs = Rates(intake_rate, prepare_rate, score_rate, deliver_rate).costs(image_mb)
        simulation = simulate_site(room, site, costs, Goal(within_seconds, utilisation), seed=seed, hours=hours)
    if as_json:
        typer.echo(json.dumps(_plain(asdict(simulation))))
    else:
        _print(simulation, cores_per_host)


def _require_simulator() -> None:
    if find_spec("simpy") is None:
        raise ConfigurationError("simulate takes the extra `simulate`, which is not installed on this host (simpy)")


def _measured() -> tuple[float, float]:
    """Return sensitivity and specificity of the shipped model on the first films of its card."""
    from worker.model.artifact import default_directory, load_card

    measured = load_card(default_directory()).measurements[0]
    return measured.sensitivity, measured.specificity


def _print(simulation: "Simulation", cores_per_host: int) -> None:
    from worker.cli import simulate_tables as tables

    parts = (
        (
            "What flags are worth",
            tuple(tables.reading_sentences(simulation)),
            tables.READING_COLUMNS,
            tables.reading_rows(simulation.gain),
        ),
        (
            "Hosts needed",
            tuple(tables.host_sentences(simulation, cores_per_host)),
            tables.HOST_COLUMNS,
            tables.host_rows(simulation.plan),
        ),
        ("Disk and network", (), tables.STORAGE_COLUMNS, tables.storage_rows(simulation)),
    )
    console = Console()
    for title, sentences, columns, rows in parts:
        typer.echo(f"{title}\n")
        for sentence in sentences:
            console.print(sentence, markup=False, highlight=False, soft_wrap=not console.is_terminal)
        if sentences:
            typer.echo()
        show(console, columns, list(rows))
        typer.echo()
    typer.echo(tables.CAVEAT)


def _plain(value: Any) -> Any:
    """Return a value that JSON has words for: what is not a number is null."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
