"""What Prometheus would read of a folder of metrics, without an exporter in between."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from worker.metrics.union import families, read_union


@dataclass(frozen=True)
class _Folder(Collector):
    folder: Path

    def collect(self) -> Iterator[Metric]:
        return families(read_union(self.folder), {})


def exposed(folder: Path) -> str:
    """The metrics of all processes that count into a folder, as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Folder(folder))
    return generate_latest(registry).decode()
