"""Values of metrics as plain data: what one process has counted, and how it is kept in a file."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from worker.metrics.definitions import DEFINITIONS, REGISTRY, Definition

Labels = tuple[tuple[str, str], ...]  # in order of their names
Samples = dict[tuple[str, Labels], float]  # by sample name, as `…_bucket`, and labels

_OF_SAMPLE = {name: definition for definition in DEFINITIONS.values() for name in definition.sample_names}


def counted_here() -> Samples:
    """Return what this process has counted since it started."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name in _OF_SAMPLE  # but the times of their making
    }


def definition_of(sample_name: str) -> Definition:
    """Return the metric that a sample is of; KeyError if there is none."""
    return _OF_SAMPLE[sample_name]


def lasts(sample_name: str) -> bool:
    """Tell whether a value holds beyond the end of its process: counts do, what a process is at present does not."""
    definition = _OF_SAMPLE[sample_name]
    return definition.kind != "gauge" or definition.latest


def add(into: Samples, more: Mapping[tuple[str, Labels], float]) -> None:
    """Add counts up; of what was last seen at a time the latest stands."""
    for key, value in more.items():
        before = into.get(key)
        if before is None:
            into[key] = value
        else:
            into[key] = max(before, value) if _OF_SAMPLE[key[0]].latest else before + value


def encode(samples: Samples) -> str:
    """Return the samples as the text of a file."""
    return json.dumps([[name, dict(labels), value] for (name, labels), value in samples.items()])


def decode(text: str) -> Samples:
    """Read what `encode` wrote; metrics and buckets that this version does not have are left out.

    Raises:
        ValueError: if it is something else.
    """
    rows = json.loads(text)
    if not isinstance(rows, list):
        raise ValueError("not a list of samples")  # noqa: TRY004 - as of any other text
    return dict(_known(rows))


def _known(rows: list[Any]) -> Iterator[tuple[tuple[str, Labels], float]]:
    for row in rows:
        try:
            name, labels, value = row
            key = (str(name), tuple(sorted((str(label), str(text)) for label, text in labels.items())))
            number = float(value)
        except (AttributeError, TypeError) as error:
            raise ValueError("not a sample") from error
        if _fits(key) and math.isfinite(number):
            yield key, number


def _fits(key: tuple[str, Labels]) -> bool:
    definition, labels = _OF_SAMPLE.get(key[0]), dict(key[1])
    if definition is None:
        return False
    limit = labels.pop("le", None)
    wanted = set(definition.labels) - ({"process"} if definition.kind == "gauge" else set())
    is_bucket = key[0].endswith("_bucket") and definition.kind == "histogram"
    fits_bucket = limit is not None and float(limit) in (*definition.limits, math.inf) if is_bucket else limit is None
    return set(labels) == wanted and fits_bucket
