"""The metrics of a host: what all its processes counted, those that have ended included."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.core import Metric

from worker.metrics.counting import MOST_SENDERS
from worker.metrics.definitions import DEFINITIONS, PROCESSES, SENDERS, UNREADABLE, Definition
from worker.metrics.recorder import SIGN_OF_LIFE_SECONDS
from worker.metrics.samples import Labels, Samples, add, decode, definition_of, lasts

ALIVE_SECONDS = 3 * SIGN_OF_LIFE_SECONDS

Facts = Mapping[str, Mapping[tuple[str, ...], float]]  # by name of the metric, then by values of its labels


@dataclass(slots=True)
class Union:
    """Values of all processes; `alive` counts those of each role that live, `unreadable` the files left out."""

    samples: Samples = field(default_factory=dict)
    alive: dict[str, int] = field(default_factory=dict)
    unreadable: int = 0

    def take(self, file: Path, now: float) -> None:
        """Add the file of one process.

        Raises:
            OSError: if it cannot be read.
            ValueError: if it is damaged.
        """
        process = file.stem
        is_alive = now - file.stat().st_mtime < ALIVE_SECONDS
        samples = decode(file.read_text())
        role = process.rpartition("-")[0]
        self.alive[role] = self.alive.get(role, 0) + is_alive
        add(self.samples, {key: value for key, value in samples.items() if lasts(key[0])})
        if is_alive:
            add(self.samples, {_named(key, process): value for key, value in samples.items() if not lasts(key[0])})


def read_union(folder: Path) -> Union:
    """Read what the processes of this host wrote; a file that is damaged is counted and left out."""
    union, now = Union(), time.time()
    for file in sorted(folder.glob("*.json")):
        try:
            union.take(file, now)
        except FileNotFoundError:  # removed since
            continue
        except (OSError, ValueError):
            union.unreadable += 1
    return union


def families(union: Union, facts: Facts) -> Iterator[Metric]:
    """Give the metrics as Prometheus' library writes them: what was counted, then the facts, in order of definition."""
    of_metric: defaultdict[str, list[tuple[str, Labels, float]]] = defaultdict(list)
    for (name, labels), value in _bounded(union.samples).items():
        of_metric[definition_of(name).name].append((name, labels, value))
    alive: Mapping[tuple[str, ...], float] = {(role,): number for role, number in union.alive.items()}
    told: Facts = {**facts, PROCESSES: alive, UNREADABLE: {(): union.unreadable}}
    for definition in DEFINITIONS.values():
        for values, value in told.get(definition.name, {}).items():
            labels = tuple(zip(definition.labels, values, strict=True))
            of_metric[definition.name].append((definition.name, labels, value))
        if definition.name in of_metric:
            yield _family(definition, of_metric[definition.name])


def _named(key: tuple[str, Labels], process: str) -> tuple[str, Labels]:
    return key[0], tuple(sorted((*key[1], ("process", process))))


def _bounded(samples: Samples) -> Samples:
    """Leave out the senders that were seen longest ago, where there are many."""
    seen = [key for key in samples if key[0] == SENDERS]
    dropped = set(sorted(seen, key=lambda key: samples[key], reverse=True)[MOST_SENDERS + 1 :])
    return {key: value for key, value in samples.items() if key not in dropped}


def _family(definition: Definition, samples: list[tuple[str, Labels, float]]) -> Metric:
    metric = Metric(definition.name.removesuffix("_total"), definition.meaning, definition.kind)
    for name, labels, value in sorted(samples, key=_place):
        metric.add_sample(name, dict(labels), value)
    return metric


def _place(sample: tuple[str, Labels, float]) -> tuple[Labels, str, float]:
    """Buckets of one histogram stand together, in order of their limits."""
    name, labels, _value = sample
    others = tuple(label for label in labels if label[0] != "le")
    return others, name, float(dict(labels).get("le", "nan") if name.endswith("_bucket") else 0)
