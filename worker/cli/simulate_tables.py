"""What `simulate` found, as rows of tables and as sentences."""

import math
from collections.abc import Iterator

from worker.simulation.estimates import Estimate
from worker.simulation.hosts import Plan
from worker.simulation.triage_gain import GroupGain, TriageGain, Waits
from worker.simulation.whole import CORES, Simulation

Row = tuple[str, ...]
READING_COLUMNS = ("waits, minutes", "flags", "mean", "closed form", "95 %", "longest", "saved", "studies")
HOST_COLUMNS = ("stage", "processes", "cores", "work a second", "busy", "wait, s", "M/M/c, s")
STORAGE_COLUMNS = ("what", "needed")
CAVEAT = (
    "A model: studies come at random at an even rate, readers do nothing else, flags are right or wrong independently. "
    "It is for planning, and makes no clinical claim."
)
_UNITS = {"intake": "films", "prepare": "films", "score": "films", "deliver": "results"}


def reading_rows(gain: TriageGain) -> Iterator[Row]:
    """Yield two rows for each group of studies: without flags, with them."""
    for group in gain.groups:
        yield group.group, "no", *_waits(group.without), "", f"{group.cases:,}"
        yield group.group, "yes", *_waits(group.with_flags), _saved(group), f"{group.cases:,}"


def _waits(waits: Waits) -> Row:
    closed = "" if waits.expected is None else _number(waits.expected)
    return _estimate(waits.mean), closed, _number(waits.p95), _number(waits.longest)


def _saved(group: GroupGain) -> str:
    return _estimate(group.saved)


def _estimate(estimate: Estimate) -> str:
    if math.isnan(estimate.mean):
        return "none"
    digits = _digits(estimate.mean)
    surely = "" if math.isnan(estimate.half_width) else f" ± {estimate.half_width:.{digits}f}"
    return f"{estimate.mean:.{digits}f}{surely}"


def _number(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.{_digits(value)}f}"


def _digits(value: float) -> int:
    return 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def host_rows(plan: Plan) -> Iterator[Row]:
    """Yield one row for each stage."""
    for stage in plan.stages:
        cores = stage.processes * CORES[stage.stage]
        work = f"{stage.per_second:.3g} {_UNITS[stage.stage]}"
        waits = (f"{stage.wait:.3f}", f"{stage.expected_wait:.3f}")
        yield stage.stage, str(stage.processes), str(cores), work, _percent(stage.utilisation), *waits


def storage_rows(simulation: Simulation) -> Iterator[Row]:
    """Yield one row for each kind of disk, and the network."""
    storage = simulation.storage
    yield "received films, 14 days", gigabytes(storage.spool_gb)
    yield "prepared images in SQL, 400 days", gigabytes(storage.prepared_gb)
    yield "other rows in SQL, each year", gigabytes(storage.sql_gb_per_year)
    yield "network into the listener, busiest hour", f"{storage.network_mbit:,.3g} Mbit/s"


def gigabytes(value: float) -> str:
    """Return a size in GB, or in TB from 1,000 GB on."""
    return f"{value / 1000:.3g} TB" if value >= 1000 else f"{value:.3g} GB"


def reading_sentences(simulation: Simulation) -> Iterator[str]:
    """Yield what was assumed of the readers, and what to beware of."""
    room, gain = simulation.room, simulation.gain
    yield (
        f"{room.readers} readers share one list: {room.arrivals_per_hour:,.1f} studies an hour of "
        f"{room.reading.mean:g} minutes ({room.reading.shape}) each: they read {_percent(room.load)} of their time."
    )
    yield (
        f"{_percent(room.prevalence)} of the studies are diseased; the flag finds {_percent(room.sensitivity)} of "
        f"these, and {_percent(room.specificity)} of the others have none: "
        f"{_percent(room.flagged_share)} of all are flagged."
    )
    interrupts = "interrupts a reading that has begun" if room.preemptive else "interrupts no reading"
    limit = room.escalate_after_minutes
    escalates = (
        "no study is escalated" if limit is None else f"after {limit:g} minutes a study is as urgent as a flagged one"
    )
    yield f"A flagged study comes first and {interrupts}; {escalates}."
    yield f"{gain.repetitions} repetitions of {gain.hours:.3g} hours, same studies with flags and without; ± is 95 %."
    if not gain.settled:
        yield "Beware: at this load the list settles more slowly than was simulated; trust the closed form."


def host_sentences(simulation: Simulation, cores_per_host: int) -> Iterator[str]:
    """Yield what the processes keep, and where they run."""
    median, p95, longest = simulation.plan.seconds_to_flag
    site, goal = simulation.site, simulation.goal
    yield (
        f"{site.studies_per_day:,.0f} studies a day, {site.busy_studies_per_second * 3600:,.0f} of them in the busiest "
        f"hour; {site.images_per_study} films of {site.image_mb:g} MB each."
    )
    yield (
        f"Film to flag delivered, then: median {median:.2f} s, 95 % {p95:.2f} s (promised: {goal.seconds:g} s), "
        f"longest {longest:.2f} s; no process works more than {_percent(goal.utilisation)} of its time."
    )
    hosts = math.ceil(simulation.cores / cores_per_host)
    spare = "one more" if hosts > 1 else "a second"
    yield (
        f"{simulation.cores} cores: {_counted(hosts, 'host')} of {cores_per_host}, and {spare} so that one may fail; "
        "database and broker come on top."
    )
    yield f"With GPUs: {_counted(simulation.gpu_workers, 'score worker')}, by the database side; no GPU was measured."
    lanes = simulation.plan.stages[-1].processes
    if lanes > 1:
        yield (
            f"One destination takes one result at a time, and does not keep up: name {lanes} in the settings, divide "
            "the senders among them (`callers`), or raise what one takes (--deliver-rate)."
        )


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
