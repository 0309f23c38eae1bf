"""The dashboard's queries, asked of a real Prometheus that scrapes a real exporter."""

import json
from collections.abc import Iterator
from pathlib import Path

from tests.exporter import exporting
from tests.integration.worker.conftest import opened
from tests.servers.ports import free_port, wait_until
from tests.servers.prometheus import Prometheus, prometheus
from tests.studies import incoming, put_in_service, receive
from worker.metrics.definitions import DEFINITIONS, Definition
from worker.metrics.samples import Samples, encode
from worker.schema import migrate
from worker.sections import MetricsSettings
from worker.service import Service
from worker.settings import Settings

# Values of labels that the queries ask for; any other label has any value.
_IMAGES = ({"state": "prepared"}, {"state": "scored"}, {"state": "failed"})
_LATENCIES = ({"stage": "early", "priority": "HIGH"}, {"stage": "complete"})
_ASKED = {
    "cxr_triage_objects_received_total": ({"receipt": "new"},),
    "cxr_triage_images_total": _IMAGES,
    "cxr_triage_frames_scored_total": ({"flagged": "true"},),
    "cxr_triage_delivery_attempts_total": ({"outcome": "delivered"},),
    "cxr_triage_delivery_latency_seconds": _LATENCIES,
}


def _counted(times: int) -> Samples:
    """What processes might have counted: a value of every metric that they count, growing with `times`."""
    return dict(sample for definition in DEFINITIONS.values() for sample in _samples(definition, times))


def _samples(definition: Definition, times: int) -> Iterator[tuple[tuple[str, tuple[tuple[str, str], ...]], float]]:
    names = [name for name in definition.labels if name != "process"]
    for asked in _ASKED.get(definition.name, ({},)):
        labels = {name: asked.get(name, "some") for name in names}
        for sample in definition.sample_names:
            limits = map(float, definition.limits) if sample.endswith("_bucket") else ()
            for limit in limits:
                yield (sample, tuple(sorted({**labels, "le": str(limit)}.items()))), times
            if sample.endswith("_bucket"):
                labels_of_all = {**labels, "le": "+Inf"}
                yield (sample, tuple(sorted(labels_of_all.items()))), times
            else:
                yield (sample, tuple(sorted(labels.items()))), times


def _queries(repository: Path) -> list[str]:
    dashboard = json.loads((repository / "deploy/grafana/dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    return [text.replace("$__rate_interval", "1m").replace("$instance", ".*") for text in expressions]


def _grown(server: Prometheus, folder: Path) -> bool:
    """Let the counts grow until Prometheus has seen them grow."""
    seen = server.query("cxr_triage_task_faults_total")
    times = int(float(seen[0]["value"][1])) + 1 if seen else 1
    (folder / "score-0.json").write_text(encode(_counted(times)))
    return bool(server.query("rate(cxr_triage_task_faults_total[1m]) > 0"))


def test_every_query_of_the_dashboard_answers_something(repository: Path, tmp_path: Path, postgres_url: str) -> None:
    """No panel is empty, and no expression is wrong; the database is PostgreSQL, which has a clock of its own."""
    counted = tmp_path / "counted"
    counted.mkdir()
    with opened(postgres_url) as database:
        migrate(database)
        put_in_service(database)
        receive(database, incoming())
        metrics = MetricsSettings(port=free_port(), folder=counted)
        service = Service(Settings(data_dir=tmp_path, metrics=metrics), database, lambda _queue: None)
        with exporting(service), prometheus(tmp_path, metrics.port or 0) as server:
            wait_until(lambda: _grown(server, counted), "two scrapes", every=0.3)
            empty = [query for query in _queries(repository) if not server.query(query)]
    assert empty == []
