"""The tables of deploy/capacity.md that `simulate` could print: by volume, and by how busy the readers are."""

import math
from collections.abc import Iterator

from worker.cli.simulate_tables import gigabytes
from worker.model.artifact import default_directory, load_card
from worker.simulation.durations import Duration
from worker.simulation.hosts import plan_hosts
from worker.simulation.reading_room import ReadingRoom
from worker.simulation.site import Goal, Rates, Site
from worker.simulation.storage import storage_for
from worker.simulation.triage_gain import expected_wait
from worker.simulation.whole import cores_of

VOLUMES, LOADS, READERS, MINUTES, PREVALENCE = (1e3, 1e4, 1e5, 1e6), (0.5, 0.7, 0.8, 0.9, 0.95), 3, 3.0, 0.1
CORES_PER_HOST = 8
HOST_COLUMNS = (
    *("studies a day", "films a second, busiest hour", "listener", "prepare", "score (CPU)", "destinations", "cores"),
    *(f"hosts of {CORES_PER_HOST}", "95 % of flags within", "spool", "prepared", "SQL a year", "network in"),
)
FLAG_COLUMNS = (
    *("readers busy", "without flags", "diseased, with flags", "missed", "not diseased"),
    *("diseased, interrupting", "missed, interrupting", "not diseased, interrupting"),
)


def host_rows() -> Iterator[tuple[str, ...]]:
    """Yield what `simulate --studies-per-day N` says by default, a row for each volume."""
    room = _room(0.7)
    for volume in VOLUMES:
        site = Site(volume)
        plan = plan_hosts(site, Rates().costs(site.image_mb), Goal(), flagged_share=room.flagged_share, seed=0)
        storage, cores = storage_for(site), cores_of(plan)
        yield (
            f"{volume:,.0f}",
            f"{plan.stages[0].per_second:.2g}",
            *(str(stage.processes) for stage in plan.stages),
            str(cores),
            str(math.ceil(cores / CORES_PER_HOST)),
            f"{plan.seconds_to_flag[1]:.1f} s",
            *(gigabytes(size) for size in (storage.spool_gb, storage.prepared_gb, storage.sql_gb_per_year)),
            f"{storage.network_mbit:,.0f} Mbit/s",
        )


def flag_rows() -> Iterator[tuple[str, ...]]:
    """Yield mean waits in closed form, minutes, a row for each load."""
    for load in LOADS:
        waiting, interrupting = _room(load), _room(load, preemptive=True)
        waits = [expected_wait(waiting, "all", flags=False)]
        for room in (waiting, interrupting):
            waits += [expected_wait(room, group, flags=True) for group in ("diseased", "missed", "not diseased")]
        yield f"{load * 100:.0f} %", *(f"{wait:.1f}" for wait in waits if wait is not None)


def _room(load: float, *, preemptive: bool = False) -> ReadingRoom:
    shipped = load_card(default_directory()).measurements[0]
    per_hour = load * READERS * 60 / MINUTES
    flag = (PREVALENCE, shipped.sensitivity, shipped.specificity)
    return ReadingRoom(per_hour, READERS, Duration(MINUTES), *flag, preemptive=preemptive)
