"""Reconciliation by hand: what a real PACS has and never came here is fetched into a real listener."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from sqlalchemy import select, update

from dicom_io.errors import (
    MoveDestinationUnknownError,
    OutOfResourcesError,
    PeerUnreachableError,
)
from dicom_io.scp import ReceivedObject, StorageSCP
from dicom_io.scu import store
from dicom_io.types import ApplicationEntity
from tests.archives import DAY, OUR_TITLE, entity, fill, film, orthanc_that_sends_to
from tests.integration.worker.conftest import Clock
from tests.servers.dcmqrscp import StartQueryRetrieveScp
from tests.servers.orthanc import StartOrthanc
from tests.servers.ports import LOOPBACK
from worker import heartbeat
from worker.db import Database
from worker.domain import ImageState
from worker.errors import RunsAlreadyError
from worker.intake import Intake
from worker.reconciling.lease import Lease
from worker.reconciling.run import Reconciler
from worker.service import Service
from worker.tables import Event, Image, Study

BuildService = Callable[..., Service]
# pynetdicom drops the socket of a refused connection without closing it.
UNCLOSED = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Listening:
    """A listener on the service's intake, and whom to have reconciled with it."""

    def __init__(self, build: BuildService) -> None:
        self.build = build
        self.service = build()
        self.full_for: set[str] = set()
        self.provider = StorageSCP(ApplicationEntity(OUR_TITLE, LOOPBACK, 0), self.receive)

    def receive(self, received: ReceivedObject) -> None:
        """Take an object, unless there is no room for it."""
        if received.identification.reference.sop_instance_uid in self.full_for:
            raise OutOfResourcesError("spool: no space")
        Intake(self.service).receive(received)

    def push(self, *films: Dataset) -> None:
        """Send films as a modality would."""
        peer = ApplicationEntity(OUR_TITLE, LOOPBACK, self.provider.port)
        assert set(store(peer, films, calling_ae_title="MODALITY", timeout_seconds=10)) <= {0}

    def reconciler(self, pacs: ApplicationEntity, **settings: Any) -> Reconciler:
        """What reconciles with this PACS."""
        peer = {"ae_title": pacs.ae_title, "host": pacs.host, "port": pacs.port}
        section = {"pacs": peer, "timeout_seconds": 5, **settings}
        return Reconciler(self.build(reconciliation=section), self.receive)


@pytest.fixture
def listening(service: BuildService) -> Iterator[Listening]:
    """Our listener."""
    listening = Listening(service)
    with listening.provider:
        yield listening


@pytest.fixture
def archived(listening: Listening, dcmqrscp: StartQueryRetrieveScp) -> ApplicationEntity:
    """An empty PACS that knows our listener."""
    return entity(dcmqrscp(destinations={OUR_TITLE: listening.provider.port}))


def _came_from(database: Database) -> dict[str, str]:
    with database.read() as session:
        rows = session.execute(select(Image.sop_instance_uid, Image.calling_ae_title))
        return {film: sender for film, sender in rows}  # noqa: C416 - rows are no pairs to mypy


def _events(database: Database) -> list[tuple[str | None, dict[str, Any]]]:
    with database.read() as session:
        rows = session.execute(select(Event.study_instance_uid, Event.detail).where(Event.kind == "reconciled"))
        return [(study, detail) for study, detail in rows]


@pytest.mark.parametrize(
    ("fetch_by", "database_url"), [("move", "sqlite"), ("get", "postgresql")], indirect=["database_url"]
)
def test_what_never_came_is_fetched(
    listening: Listening, orthanc: StartOrthanc, database: Database, tmp_path: Path, fetch_by: str
) -> None:
    """One study is here, one in part and one not at all: afterwards all are, and then nothing is fetched."""
    films = [film(number, f"2.25.{7 + number // 2}") for number in range(6)]
    pacs = entity(orthanc(**orthanc_that_sends_to(listening.provider.port)))
    fill(pacs, films, tmp_path)
    listening.push(*films[:3])
    reconciler = listening.reconciler(pacs, fetch_by=fetch_by)

    planned = reconciler.compare([DAY])
    assert (planned.studies, planned.images, planned.here, planned.missing, planned.fetched) == (3, 6, 3, 3, 0)
    assert _events(database) == []

    said = reconciler.reconcile([DAY], by="ada@host")
    assert (said.images, said.here, said.fetched, said.missing, said.refused) == (6, 3, 3, 0, 0)
    assert said.is_whole
    assert {str(one.SOPInstanceUID): "ORTHANC" for one in films[3:]}.items() <= _came_from(database).items()
    by_hand = [detail for study, detail in _events(database) if study is None]
    assert [(detail["by"], detail["fetched"], detail["dates"]) for detail in by_hand] == [
        ("ada@host", 3, "2026-01-02..2026-01-02")
    ]
    assert {study for study, _ in _events(database)} == {None, "2.25.8", "2.25.9"}

    again = reconciler.reconcile([DAY], by="ada@host")
    assert (again.here, again.fetched) == (6, 0)
    with database.read() as session:
        received = session.scalars(select(Event.detail).where(Event.kind == "image-received")).all()
    assert [detail["receipt"] for detail in received] == ["new"] * 6  # what was here did not come again


@ONE_DATABASE
def test_the_same_sop_instance_in_another_study_is_not_here(
    listening: Listening, archived: ApplicationEntity, database: Database, tmp_path: Path
) -> None:
    """Else a study that the PACS re-ordered, or whose UIDs another caller used, would be missed without a word."""
    fill(archived, [film(0, "2.25.7")], tmp_path)
    listening.push(film(0, "2.25.8"))
    said = listening.reconciler(archived).reconcile([DAY], by="ada@host")
    assert (said.here, said.fetched, said.is_whole) == (0, 1, True)
    with database.read() as session:
        assert set(session.scalars(select(Study.study_instance_uid))) == {"2.25.7", "2.25.8"}


@ONE_DATABASE
def test_what_was_purged_or_superseded_is_not_fetched_again(
    listening: Listening, archived: ApplicationEntity, database: Database, clock: Clock, tmp_path: Path
) -> None:
    """An image that was here once is here, whatever became of its file or of its place in the study."""
    films = [film(number, "2.25.7") for number in range(2)]
    fill(archived, films, tmp_path)
    listening.push(*films)
    with database.begin() as session:
        session.execute(update(Image).values(purged_at=clock(), state=ImageState.SUPERSEDED, rejection="113001"))
    said = listening.reconciler(archived).reconcile([DAY], by="ada@host")
    assert (said.here, said.fetched) == (2, 0)


@ONE_DATABASE
def test_a_study_that_cannot_be_had_holds_up_no_other(
    listening: Listening, archived: ApplicationEntity, database: Database, tmp_path: Path
) -> None:
    """One image that we cannot take now is told as missing and refused; those before and after it come."""
    films = [film(number, f"2.25.{number}") for number in range(5)]
    fill(archived, films, tmp_path)
    listening.full_for = {str(films[2].SOPInstanceUID)}
    said = listening.reconciler(archived).reconcile([DAY], by="ada@host")
    assert (said.fetched, said.missing, said.unfinished) == (4, 1, 1)
    (failed,) = [outcome for outcome in said.details if outcome.is_open]
    assert failed.study_instance_uid == "2.25.2"
    assert failed.reason is not None
    assert ("0xA702" in failed.reason) or ("could not be sent" in failed.reason)
    assert any(study == "2.25.2" and detail["missing"] == 1 for study, detail in _events(database))

    listening.full_for = set()
    assert listening.reconciler(archived).reconcile([DAY], by="ada@host").is_whole


@ONE_DATABASE
def test_a_pacs_that_sends_elsewhere_is_told(
    listening: Listening, dcmqrscp: StartQueryRetrieveScp, service: BuildService, tmp_path: Path
) -> None:
    """It says success, and nothing is here: the address that it has for us is another's."""
    with StorageSCP(ApplicationEntity(OUR_TITLE, LOOPBACK, 0), lambda _received: None) as other:
        pacs = entity(dcmqrscp(destinations={OUR_TITLE: other.port}))
        fill(pacs, [film(1, "2.25.7")], tmp_path)
        said = listening.reconciler(pacs).reconcile([DAY], by="ada@host")
    assert said.missing == 1
    assert "check the host and port that the PACS has for CXRTRIAGE" in str(said.details[0].reason)


@ONE_DATABASE
def test_a_pacs_that_does_not_know_us_ends_the_run(
    listening: Listening, dcmqrscp: StartQueryRetrieveScp, database: Database, tmp_path: Path
) -> None:
    """The same would be said of every study; the operator learns what to do at the PACS, and the trail who asked."""
    pacs = entity(dcmqrscp())
    fill(pacs, [film(1, "2.25.7")], tmp_path)
    with pytest.raises(MoveDestinationUnknownError, match="add the listener's AE title"):
        listening.reconciler(pacs).reconcile([DAY], by="ada@host")
    assert [(detail["by"], "does not know" in detail["cut_short"]) for _, detail in _events(database)] == [
        ("ada@host", True)
    ]
    assert listening.reconciler(pacs, fetch_by="get").reconcile([DAY], by="ada@host").fetched == 1


@UNCLOSED
@ONE_DATABASE
def test_a_pacs_that_is_down_is_told(listening: Listening, free_port: Callable[[], int]) -> None:
    """Nothing is compared with a list that was not had; the lease is free afterwards."""
    reconciler = listening.reconciler(ApplicationEntity("DOWN", LOOPBACK, free_port()))
    for _ in range(2):
        with pytest.raises(PeerUnreachableError, match="does not answer"):
            reconciler.reconcile([DAY], by="ada@host")


def test_two_do_not_run_at_once(listening: Listening, archived: ApplicationEntity, clock: Clock) -> None:
    """The second is told to wait; it needs not wait for one that died, whose lease ends, or whose clock was ahead."""
    reconciler = listening.reconciler(archived)
    dead = Lease(reconciler.service, archived.ae_title)
    dead.renew()
    with pytest.raises(RunsAlreadyError, match="DCMQRSCP runs now"):
        reconciler.reconcile([DAY], by="ada@host")
    assert reconciler.compare([DAY]).is_whole
    clock.advance(seconds=dead.length.total_seconds() + 1)
    reconciler.reconcile([DAY], by="ada@host")
    with pytest.raises(RunsAlreadyError), Lease(reconciler.service, archived.ae_title):
        dead.renew()

    dead.renew()
    clock.advance(hours=-24)
    reconciler.reconcile([DAY], by="ada@host")


@ONE_DATABASE
def test_a_pacs_that_takes_long_makes_no_worker_look_dead(listening: Listening, tmp_path: Path) -> None:
    """A study that is fetched for longer than a lease is no reason for a health check to kill the worker."""
    heartbeat.begin(tmp_path, ["prepare"], f"prepare@{socket.gethostname()}")
    try:
        Lease(listening.service, "PACS").renew()
        assert heartbeat.ages(tmp_path, "prepare")
    finally:
        heartbeat.end()


@ONE_DATABASE
def test_a_run_that_lost_its_lease_ends(
    listening: Listening, archived: ApplicationEntity, clock: Clock, tmp_path: Path
) -> None:
    """A process that stood still for longer than its lease does not go on beside the one that took its place."""
    films = [film(number, f"2.25.{number}") for number in range(4)]
    fill(archived, films, tmp_path)
    service = listening.reconciler(archived, at_a_time=1, fetch_by="get").service
    taker = Lease(service, archived.ae_title)
    arrived: list[str] = []

    def take_over(received: ReceivedObject) -> None:
        arrived.append(received.identification.reference.sop_instance_uid)
        clock.advance(hours=1)
        taker.renew()

    with pytest.raises(RunsAlreadyError):
        Reconciler(service, take_over).reconcile([DAY], by="ada@host")
    assert len(arrived) == 1


@ONE_DATABASE
def test_a_fetched_study_is_due_from_its_arrival(
    listening: Listening, archived: ApplicationEntity, database: Database, clock: Clock, tmp_path: Path
) -> None:
    """A film that was taken long ago is not overdue the moment it comes."""
    fill(archived, [film(1, "2.25.7")], tmp_path)
    listening.reconciler(archived).reconcile([DAY], by="ada@host")
    with database.read() as session:
        study = session.scalars(select(Study)).one()
    assert study.due_at > clock()
    assert study.received_at == clock()
