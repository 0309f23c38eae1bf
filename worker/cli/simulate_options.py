"""The options of `simulate`."""

from typing import Annotated, Any

import typer

from worker.simulation.durations import Shape


def _option(name: str, text: str, **limits: Any) -> Any:
    return typer.Option(name, help=text, **limits)


STUDIES, READERS, STAGES, RUN = "Studies", "Readers and flags", "Processes", "Simulation"

MOST_STUDIES = 10_000_000  # a day; more are simulated for minutes
StudiesPerDay = Annotated[
    float, _option("--studies-per-day", "Chest studies of a day.", rich_help_panel=STUDIES, max=MOST_STUDIES)
]
ImagesPerStudy = Annotated[int, _option("--images-per-study", "Films of each.", min=1, rich_help_panel=STUDIES)]
ImageMb = Annotated[float, _option("--image-mb", "Megabytes of a film as it is sent.", rich_help_panel=STUDIES)]
BusyFactor = Annotated[
    float, _option("--busy-factor", "Studies of the busiest hour over the average one.", rich_help_panel=STUDIES)
]
Readers = Annotated[
    int | None,
    _option(
        "--readers",
        "Who read the one list; by default the least number that reads less than 90 % of the time.",
        rich_help_panel=READERS,
    ),
]
ReadingMinutes = Annotated[
    float, _option("--reading-minutes", "Mean time that a study takes to read.", rich_help_panel=READERS)
]
ReadingShape = Annotated[
    Shape,
    _option("--reading-shape", "How reading times vary; lognormal: by half of their mean.", rich_help_panel=READERS),
]
Prevalence = Annotated[
    float, _option("--prevalence", "Share of the studies that show the disease.", rich_help_panel=READERS)
]
Sensitivity = Annotated[
    float | None,
    _option("--sensitivity", "Of the flag; by default by the shipped model's card.", rich_help_panel=READERS),
]
Specificity = Annotated[
    float | None,
    _option("--specificity", "Of the flag; by default by the shipped model's card.", rich_help_panel=READERS),
]
Preemptive = Annotated[
    bool,
    _option(
        "--preemptive/--no-preemptive", "Whether a flag interrupts a reading that has begun.", rich_help_panel=READERS
    ),
]
EscalateAfter = Annotated[
    float | None,
    _option(
        "--escalate-after",
        "Minutes of waiting after which any study is as urgent as a flagged one; by default never.",
        rich_help_panel=READERS,
    ),
]
IntakeRate = Annotated[
    float, _option("--intake-rate", "Megabytes a second of one listener process.", rich_help_panel=STAGES)
]
PrepareRate = Annotated[
    float, _option("--prepare-rate", "Films a second of one prepare process.", rich_help_panel=STAGES)
]
ScoreRate = Annotated[float, _option("--score-rate", "Films a second of one score worker.", rich_help_panel=STAGES)]
DeliverRate = Annotated[
    float, _option("--deliver-rate", "Results a second that one destination takes.", rich_help_panel=STAGES)
]
Utilisation = Annotated[
    float,
    _option("--utilisation", "Most of its time that a process works in the busiest hour.", rich_help_panel=STAGES),
]
WithinSeconds = Annotated[
    float,
    _option(
        "--within-seconds", "95 % of the flags are delivered so soon after the film arrives.", rich_help_panel=STAGES
    ),
]
CoresPerHost = Annotated[int, _option("--cores-per-host", "Cores of a host.", min=1, rich_help_panel=STAGES)]
Hours = Annotated[
    float | None,
    _option(
        "--hours",
        "Counted hours of each of the 20 repetitions of the list; by default those of 3,000 studies.",
        rich_help_panel=RUN,
    ),
]
Seed = Annotated[
    int, _option("--seed", "Of all random numbers; the same one, the same figures.", min=0, rich_help_panel=RUN)
]
