"""The nightly run: inside its window, once a night, piece by piece, and what one night leaves to the next."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import evt
from sqlalchemy import select

from dicom_io.scp import ReceivedObject
from dicom_io.types import ApplicationEntity
from tests.archives import answer, archive, entity, fill, film
from tests.integration.worker.conftest import Clock
from tests.servers.dcmqrscp import StartQueryRetrieveScp
from worker.db import Database
from worker.intake import Intake
from worker.reconciling import night
from worker.reconciling.night import NightlyRun
from worker.reconciling.outcome import Report
from worker.reconciling.run import Reconciler
from worker.service import Service
from worker.tables import Event, Image

BuildService = Callable[..., Service]
EVENING = datetime(2026, 1, 2, 23, 0, tzinfo=UTC)  # of the day of every phantom
ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def pacs(dcmqrscp: StartQueryRetrieveScp) -> ApplicationEntity:
    """An empty PACS."""
    return entity(dcmqrscp())


@pytest.fixture
def nightly(service: BuildService, clock: Clock) -> Callable[..., NightlyRun]:
    """Call it with a PACS and settings for what its task does; `then` is called with each object that came."""
    clock.time = EVENING

    def build(
        pacs: ApplicationEntity, then: Callable[[ReceivedObject], None] = lambda _received: None, **settings: Any
    ) -> NightlyRun:
        peer = {"ae_title": pacs.ae_title, "host": pacs.host, "port": pacs.port}
        section = {"pacs": peer, "fetch_by": "get", "at_a_time": 1, "timeout_seconds": 5, **settings}
        built = service(reconciliation=section)

        def receive(received: ReceivedObject) -> None:
            Intake(built).receive(received)
            then(received)

        return NightlyRun(Reconciler(built, receive))

    return build


def _films(count: int) -> list[Dataset]:
    return [film(number, f"2.25.{number}") for number in range(count)]


def _here(database: Database) -> int:
    with database.read() as session:
        return len(session.scalars(select(Image.id)).all())


def _nights(database: Database) -> list[dict[str, Any]]:
    with database.read() as session:
        kind = select(Event.detail).where(Event.kind == "reconciled", Event.study_instance_uid.is_(None))
        return list(session.scalars(kind.order_by(Event.id)))


@ONE_DATABASE
def test_once_a_night_inside_the_window(
    nightly: Callable[..., NightlyRun], pacs: ApplicationEntity, database: Database, clock: Clock, tmp_path: Path
) -> None:
    """Outside nobody is asked; inside it runs to its end, also after midnight, and no more until the next night."""
    fill(pacs, _films(2), tmp_path)
    run = nightly(pacs)
    clock.time = EVENING.replace(hour=21)
    assert run.go_on() is None
    clock.time = EVENING.replace(day=3, hour=4)
    said = run.go_on()
    assert said is not None
    assert (said.fetched, said.is_whole, _here(database)) == (2, True, 2)
    assert [(detail["by"], detail["dates"]) for detail in _nights(database)] == [("nightly", "2026-01-01..2026-01-03")]

    fill(pacs, [film(9, "2.25.9")], tmp_path)
    assert run.go_on() is None
    assert _here(database) == 2
    clock.time = EVENING.replace(day=3)
    said = run.go_on()
    assert said is not None
    assert (said.here, said.fetched) == (2, 1)


def test_a_run_that_is_killed_in_the_middle_is_gone_on_with(
    nightly: Callable[..., NightlyRun],
    pacs: ApplicationEntity,
    database: Database,
    database_url: str,
    clock: Clock,
    tmp_path: Path,
) -> None:
    """Once the lease of the process that got SIGKILL has ended; nothing that it did is lost, or done again."""
    fill(pacs, _films(4), tmp_path)
    run = nightly(pacs)
    section = run.reconciler.settings.model_dump(mode="json")
    settings = {"data_dir": str(tmp_path / "data"), "min_free_bytes": 0, "database_url": database_url}
    words = json.dumps({**settings, "reconciliation": section, "now": EVENING.isoformat()})
    done = subprocess.run([sys.executable, "-m", "tests.killed_night", words, "2"], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert _here(database) == 2

    assert run.go_on() is None  # the lease of the dead one
    assert _here(database) == 2
    clock.advance(seconds=121)
    said = run.go_on()
    assert said is not None
    assert (said.fetched, said.here, _here(database)) == (3, 1, 4)  # the one it died with was not told as fetched


@ONE_DATABASE
def test_work_is_done_in_pieces(
    nightly: Callable[..., NightlyRun], pacs: ApplicationEntity, database: Database, clock: Clock, tmp_path: Path
) -> None:
    """A call ends after its time, and no study is begun after the window; the last call tells of the whole night."""
    fill(pacs, _films(3), tmp_path)
    closes = nightly(pacs, then=lambda _received: clock.advance(hours=7))
    assert closes.go_on() is None
    assert _here(database) == 1
    clock.time = EVENING
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(night, "CALL_SECONDS", 0.0)
        assert nightly(pacs).go_on() is None
    assert _here(database) == 1
    said = nightly(pacs).go_on()
    assert said is not None
    assert (said.images, said.fetched, _here(database)) == (3, 3, 3)


@ONE_DATABASE
def test_a_night_that_was_cut_short_is_told_by_the_next(
    nightly: Callable[..., NightlyRun], pacs: ApplicationEntity, database: Database, clock: Clock, tmp_path: Path
) -> None:
    """What it had done stands in the audit trail, and the next night does the rest."""
    fill(pacs, _films(2), tmp_path)
    nightly(pacs, then=lambda _received: clock.advance(hours=7)).go_on()
    clock.time = EVENING.replace(day=3)
    said = nightly(pacs).go_on()
    assert said is not None
    assert (said.here, said.fetched) == (1, 1)
    first, second = _nights(database)
    assert (first["fetched"], first["cut_short"]) == (1, "the window closed before every study was seen to")
    assert (second["fetched"], second["cut_short"]) == (1, None)


class _Broken:
    """A PACS of three studies, the first of which breaks every association that it is asked for on."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        level = event.identifier.QueryRetrieveLevel
        if level == "STUDY":
            yield from ((0xFF00, answer(StudyInstanceUID=f"2.25.{number}")) for number in range(3))
        elif level == "SERIES":
            self.asked.append(event.identifier.StudyInstanceUID)
            if self.asked[-1] == "2.25.0":
                event.assoc.abort()
            yield 0xFF00, answer(SeriesInstanceUID="2.25.90", Modality="CT")
        yield 0x0000, None


@ONE_DATABASE
def test_a_study_that_breaks_the_pacs_is_left_to_the_next_night(
    nightly: Callable[..., NightlyRun], database: Database, clock: Clock
) -> None:
    """It is tried a few times, after the others, counted as unfinished, and tried again the next night."""
    broken = _Broken()

    def night_of(pacs: ApplicationEntity) -> Report:
        run = nightly(pacs)
        for _ in range(10):
            if (said := run.go_on()) is not None:
                return said
        raise AssertionError("the night never ended")

    with archive(find=broken.find) as pacs:
        said = night_of(pacs)
        assert broken.asked[:3] == ["2.25.0", "2.25.1", "2.25.2"]
        assert broken.asked[3:] == ["2.25.0"] * (night.MOST_TRIES - 1)
        assert (said.unfinished, said.studies) == (1, 1)
        clock.time = EVENING.replace(day=3)
        broken.asked.clear()
        night_of(pacs)
        assert broken.asked.count("2.25.0") == night.MOST_TRIES


@ONE_DATABASE
def test_a_pacs_that_is_down_for_a_while_is_asked_again(
    nightly: Callable[..., NightlyRun], dcmqrscp: StartQueryRetrieveScp, database: Database, tmp_path: Path
) -> None:
    """A night in which it cannot be asked is not over; no call raises."""
    with archive() as refusing:
        assert nightly(refusing).go_on() is None
    assert _nights(database) == []
    pacs = entity(dcmqrscp(ae_title="UNKIND"))
    fill(pacs, _films(1), tmp_path)
    said = nightly(pacs).go_on()
    assert said is not None
    assert said.fetched == 1
