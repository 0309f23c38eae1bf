"""What Prometheus reads from `cxr-triage metrics`."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from tests.exporter import exporting, scraped
from tests.integration.worker.conftest import Clock, opened
from tests.servers.ports import free_port, wait_until
from tests.studies import incoming, prepare, receive, result, say
from worker.db import Database
from worker.delivering import Deliverer
from worker.destinations import FolderDestination
from worker.domain import DeliveryState, ImageState
from worker.errors import ConfigurationError
from worker.exporting.exporter import Remembered, export
from worker.metrics.definitions import DATABASE_UP, LATENCY, SENDINGS
from worker.metrics.samples import Samples, encode
from worker.repository.model_versions import RegisteredModel
from worker.sections import MetricsSettings
from worker.service import Service
from worker.settings import Settings
from worker.tables import Delivery

_MINUTE = timedelta(minutes=1)


def test_the_rows_of_the_database_are_told_by_stage_and_destination(
    database: Database, service: Callable[..., Service], champion: RegisteredModel, clock: Clock
) -> None:
    """The oldest counts whatever its urgency; what is done counts no more; a quiet destination shows 0."""
    built = service(metrics={"port": free_port()})
    receive(database, incoming("2.25.11"), incoming("2.25.12", at=clock.time + _MINUTE, study="2.25.2"))
    receive(database, incoming("2.25.13", study="2.25.3"), incoming("2.25.14", study="2.25.4"))
    prepare(database, "2.25.13")
    prepare(database, "2.25.14", state=ImageState.FAILED)
    say(database, champion, result("2.25.3"), to=("pacs",))
    with database.begin() as session:
        session.execute(update(Delivery).values(state=DeliveryState.DEAD))
    say(database, champion, result("2.25.4"), to=("flags",))
    clock.advance(minutes=5)
    with exporting(built):
        told = scraped(built)
    waiting = {stage: told[f'cxr_triage_work_waiting{{stage="{stage}"}}'] for stage in ("prepare", "score", "deliver")}
    assert waiting == {"prepare": 2, "score": 1, "deliver": 1}
    assert told['cxr_triage_work_oldest_age_seconds{stage="prepare"}'] == 300
    assert told['cxr_triage_work_oldest_age_seconds{stage="commit"}'] == 0
    assert told['cxr_triage_dead_letters{destination="pacs"}'] == 1
    assert told['cxr_triage_dead_letters{destination="flags"}'] == 0
    assert told["cxr_triage_quarantined_images"] == 1
    assert told["cxr_triage_database_up"] == 1


def test_what_was_counted_is_served_while_the_database_is_away(tmp_path: Path) -> None:
    """`database_up` is 0, and nothing is said of its rows."""
    (tmp_path / "counted").mkdir()
    counted: Samples = {("cxr_triage_task_faults_total", ()): 7.0}
    (tmp_path / "counted" / "deliver-0.json").write_text(encode(counted))
    with opened("postgresql+psycopg://nobody@127.0.0.1:1/none") as away:
        metrics = MetricsSettings(port=free_port(), folder=tmp_path / "counted")
        built = Service(Settings(data_dir=tmp_path, metrics=metrics), away, lambda _queue: None)
        with exporting(built):
            told = scraped(built)
    assert told["cxr_triage_task_faults_total"] == 7
    assert told["cxr_triage_database_up"] == 0
    assert told["cxr_triage_disk_free_bytes"] > 0
    assert not any(name.startswith("cxr_triage_work") for name in told)


def test_a_database_that_says_nothing_costs_a_scrape_its_patience_and_gets_one_question() -> None:
    """Whoever else asks meanwhile waits for the same answer."""
    asked, answer = [], threading.Event()

    def ask() -> dict[str, Any]:
        asked.append(1)
        answer.wait(30)
        return {}

    remembered = Remembered(ask, patience=0.1)
    began = time.monotonic()
    assert [remembered.facts() for _ in range(3)] == [{DATABASE_UP: {(): 0}}] * 3
    assert time.monotonic() - began < 5
    answer.set()
    wait_until(lambda: remembered.facts() == {DATABASE_UP: {(): 1}}, "the answer")
    assert sum(asked) == 1


def test_facts_are_asked_at_most_once_a_second() -> None:
    """Two Prometheus servers and a curious person cost the database no more than one; a fault is asked again."""
    now, answers = [100.0], iter([{}, OperationalError("SELECT", None, OSError()), {}])
    asked: list[object] = []

    def ask() -> dict[str, Any]:
        asked.append(answer := next(answers))
        if isinstance(answer, Exception):
            raise answer
        return {}

    remembered = Remembered(ask, clock=lambda: now[0])
    ups = []
    for step in (0, 0.5, 1, 0.1, 1.5):
        now[0] += step
        ups.append(remembered.facts()[DATABASE_UP][()])
    assert ups == [1, 1, 0, 0, 1]
    assert len(asked) == 3


def test_a_delivered_flag_is_counted_with_its_latency(
    database: Database, service: Callable[..., Service], champion: RegisteredModel, clock: Clock, tmp_path: Path
) -> None:
    """From the receipt of the flagged film; counted once it is committed."""
    seconds = LATENCY.labels("folder", "early", "HIGH")._sum
    sent = SENDINGS.labels("flags", "delivered")._value
    before, sent_before = seconds.get(), sent.get()
    receive(database, incoming())
    say(database, champion, result(flagged=True, complete=False), to=("flags",))
    clock.advance(seconds=42)
    folder = FolderDestination(kind="folder", name="flags", path=tmp_path / "flags")
    assert Deliverer(service(destinations=(folder,))).deliver_next()
    assert seconds.get() - before == 42
    assert sent.get() - sent_before == 1


def test_a_port_in_use_or_not_set_is_told_in_one_line(service: Callable[..., Service]) -> None:
    """The operator is told which setting to mend."""
    with pytest.raises(ConfigurationError, match=r"metrics\.port is not set"):
        export(service(), threading.Event())
    port = free_port()
    with exporting(service(metrics={"port": port})), pytest.raises(ConfigurationError, match=r"metrics\.port: cannot"):
        export(service(metrics={"port": port}), threading.Event())
