"""Storage commitment from the request to the acknowledged report, on both kinds of database."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from pydicom import Dataset
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian
from pynetdicom.dsutils import create_file_meta, encode, encode_file_meta
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from dicom_io.commitment import CommitmentRequest, ObjectReference
from dicom_io.errors import CommitmentRequestError, OutOfResourcesError
from dicom_io.identification import identify
from dicom_io.identity import Content, read_content
from dicom_io.phantom import phantom_dataset
from dicom_io.scp import ReceivedObject, StorageSCP
from dicom_io.types import ApplicationEntity
from tests.commitment_client import CALLER, Ear, listening
from tests.integration.worker.conftest import Clock, Wakes
from tests.servers.orthanc import StartOrthanc
from tests.servers.ports import LOOPBACK, free_port
from tests.studies import NOW, POLICY, SECOND
from worker import committing
from worker.committing import CommitmentDesk, Committer
from worker.db import Database
from worker.intake import Intake
from worker.maintenance import Sweeper
from worker.queues import COMMIT
from worker.repository.commitment_views import CommitmentView, commitments
from worker.repository.commitments import claim_commitment, retry_dead_commitments
from worker.repository.views import service_status, study_history
from worker.sections import PeerSettings, StorageCommitmentSettings
from worker.service import Service
from worker.stating import Speaker
from worker.tables import Event, Image

CT = "1.2.840.10008.5.1.4.1.1.2"

BuildService = Callable[..., Service]

# pynetdicom drops the socket of a refused connection without closing it.
UNCLOSED = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")


@dataclass
class Site:
    """A service with storage commitment for one caller, and that caller; what it hears comes over the network."""

    service: Service
    ear: Ear
    films: dict[str, Dataset] = field(default_factory=dict)

    def send(self, *numbers: int) -> list[tuple[str, str]]:
        """Store new films, a study each; returns their references."""
        films = [phantom_dataset(number, kind="CR", rows=16, columns=16) for number in numbers]
        for film in films:
            self.films[film.SOPInstanceUID] = film
            self.store(film)
        return [(film.SOPClassUID, film.SOPInstanceUID) for film in films]

    def store(self, dataset: Dataset) -> None:
        """Take an object as the listener does."""
        raw = memoryview(encode(dataset, False, True) or b"")
        meta = create_file_meta(
            sop_class_uid=dataset.SOPClassUID,
            sop_instance_uid=dataset.SOPInstanceUID,
            transfer_syntax=ExplicitVRLittleEndian,
        )
        received = ReceivedObject(
            identification=identify(raw, ExplicitVRLittleEndian),
            transfer_syntax_uid=ExplicitVRLittleEndian,
            calling_ae_title=CALLER,
            priority=0,
            file_head=bytes(128) + b"DICM" + encode_file_meta(meta),
            data_set=raw,
            content_sha256=sha256(raw).hexdigest(),
        )
        Intake(self.service).receive(received)

    def ask(self, references: list[tuple[str, str]], transaction_uid: str = "2.25.7", *, caller: str = CALLER) -> None:
        """Ask for commitment."""
        named = tuple(ObjectReference(*reference) for reference in dict.fromkeys(references))
        CommitmentDesk(self.service).take(CommitmentRequest(caller, transaction_uid, named))

    def work(self) -> bool:
        """Let the worker answer one request."""
        return Committer(self.service).commit_next()

    def file(self, sop_instance_uid: str) -> Any:
        """Where an object lies in the spool."""
        return self.service.spool.path(self.image(sop_instance_uid).content_sha256)

    def image(self, sop_instance_uid: str) -> Image:
        """The row of an object."""
        with self.service.database.read() as session:
            return session.scalars(select(Image).where(Image.sop_instance_uid == sop_instance_uid)).one()

    def requests(self) -> list[CommitmentView]:
        """How the requests stand."""
        with self.service.database.read() as session:
            return commitments(session, limit=100)

    def events(self) -> list[tuple[str, str | None, dict[str, Any]]]:
        """What the audit trail says of storage commitment."""
        with self.service.database.read() as session:
            rows = session.scalars(select(Event).where(Event.kind.like("commitment-%")).order_by(Event.id)).all()
        return [(row.kind, row.study_instance_uid, row.detail) for row in rows]


@pytest.fixture
def site(service: BuildService) -> Site:
    """A site whose caller is not there yet: `listening(site.ear)` lets it hear."""
    caller = PeerSettings(ae_title=CALLER, host=LOOPBACK, port=free_port())
    built = service(storage_commitment={"enabled": True, "callers": [caller]}, retention={"raw_days": 10})
    return Site(built, Ear(caller))


@contextmanager
def listener(service: Service) -> Iterator[int]:
    """The listener as the service runs it; its port."""
    address = ApplicationEntity("CXRTRIAGE", LOOPBACK, 0)
    with StorageSCP(address, Intake(service).receive, commit=CommitmentDesk(service).take) as scp:
        yield scp.port


def post(url: str, body: bytes) -> Any:
    """What Orthanc answers."""
    with urlopen(Request(url, data=body, method="POST"), timeout=10) as answer:  # noqa: S310 - loopback
        return json.load(answer)


def test_orthanc_is_told_what_is_safe_and_what_is_not(service: BuildService, orthanc: StartOrthanc) -> None:
    """Orthanc asks for two films, one is damaged on our disk: its report says so; sent again, all is well."""
    caller = PeerSettings(ae_title="ORTHANC", host=LOOPBACK, port=free_port())
    built = service(storage_commitment={"enabled": True, "callers": [caller]})
    films = [phantom_dataset(number, kind="CR", rows=16, columns=16) for number in (1, 2)]
    with listener(built) as port:
        peer = orthanc(DicomPort=caller.port, DicomModalities={"cxr": ["CXRTRIAGE", LOOPBACK, port]})
        resources = {"Resources": [post(f"{peer.url}/instances", _encoded(film))["ID"] for film in films]}

        def send() -> None:
            post(f"{peer.url}/modalities/cxr/store", json.dumps(resources).encode())

        def commit() -> dict[str, Any]:
            asked = post(f"{peer.url}/modalities/cxr/storage-commitment", json.dumps(resources).encode())
            assert peer.get(f"/storage-commitment/{asked['ID']}")["Status"] == "Pending"
            assert Committer(built).commit_next()
            report: dict[str, Any] = peer.get(f"/storage-commitment/{asked['ID']}")
            return report

        send()
        safe = commit()
        assert (safe["Status"], len(safe["Success"])) == ("Success", 2)
        _damage(built, films[1])
        damaged = commit()
        assert damaged["Status"] == "Failure"
        assert [one["SOPInstanceUID"] for one in damaged["Success"]] == [films[0].SOPInstanceUID]
        (failure,) = damaged["Failures"]
        assert (failure["SOPInstanceUID"], failure["FailureReason"]) == (films[1].SOPInstanceUID, 0x0110)
        send()
        assert commit()["Status"] == "Success"


def _encoded(film: Dataset) -> bytes:
    buffer = BytesIO()
    film.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _damage(service: Service, film: Dataset) -> None:
    """Turn one bit of the last pixel of a stored film."""
    with service.database.read() as session:
        content = session.scalars(
            select(Image.content_sha256).where(Image.sop_instance_uid == film.SOPInstanceUID)
        ).one()
    path = service.spool.path(content)
    path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))


def test_a_request_is_taken_once_it_is_recorded(site: Site, wakes: Wakes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is woken with the row committed; what cannot be recorded is refused, and nobody is woken."""
    references = site.send(1)
    seen: list[int] = []
    wakes.watch = lambda: seen.append(len(site.requests()))
    site.ask(references)
    assert (wakes.queues[-1], seen) == (COMMIT, [1])
    monkeypatch.setattr(committing, "record_request", _away)
    with pytest.raises(OutOfResourcesError, match="try again"):
        site.ask(references, "2.25.8")
    assert ([request.transaction_uid for request in site.requests()], seen) == (["2.25.7"], [1])


def _away(*_: object) -> bool:
    raise OperationalError("INSERT", None, ConnectionError())


def test_what_is_safe_is_promised_before_it_is_told(site: Site, clock: Clock) -> None:
    """Until ten days after the report the film is kept; so it stands in the database when the caller hears of it."""
    references = site.send(1, 2)
    instances = sorted(instance for _, instance in references)
    kept_when_told: list[Any] = []
    site.ear.before_answer = lambda _: kept_when_told.extend(site.image(one).committed_until for one in instances)
    clock.advance(days=1)
    site.ask(references)
    with listening(site.ear):
        assert [site.work(), site.work()] == [True, False]
    assert site.ear.outcomes == [(1, instances, {})]
    assert site.ear.reports[0][1].TransactionUID == "2.25.7"
    assert kept_when_told == [NOW + timedelta(days=11)] * 2
    (request,) = site.requests()
    assert (request.state, request.references, request.failed, request.attempts) == ("delivered", 2, 0, 1)
    assert request.answered_at == clock()


def test_we_propose_ourselves_as_provider(site: Site) -> None:
    """On our own association we are its requestor and the provider of the class: role selection says so."""
    site.ask(site.send(1))
    with listening(site.ear):
        assert site.work()
    assert site.ear.roles == [(False, True)]


def test_every_step_is_on_the_timeline_of_its_study(site: Site, database: Database) -> None:
    """Requested, checked and reported, with counts for each study and for what belongs to none, and no name."""
    references = site.send(1, 2)
    site.ask([*references, (CT, "2.25.404")])
    with listening(site.ear):
        assert site.work()
    studies = [site.films[instance].StudyInstanceUID for _, instance in references]
    named = {"transaction_uid": "2.25.7", "calling_ae_title": CALLER, "references": 1}
    for kind, known, unknown in (
        ("commitment-requested", {}, {}),
        ("commitment-checked", {"failed": 0}, {"failed": 1}),
        ("commitment-reported", {"failed": 0}, {"failed": 1}),
    ):
        told = {study: detail for event, study, detail in site.events() if event == kind}
        assert told == {**dict.fromkeys(studies, named | known), None: named | unknown}
    with database.read() as session:
        history = study_history(session, studies[0])
    assert history is not None
    assert [event.kind for event in history.events][-3:] == [
        "commitment-requested",
        "commitment-checked",
        "commitment-reported",
    ]


def _flip_last_bit(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))


def _flip_syntax(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0", 1))


DAMAGES: tuple[tuple[Callable[[Path], object], int], ...] = (
    (_flip_last_bit, 0x0110),
    (_flip_syntax, 0x0110),
    (lambda path: path.write_bytes(path.read_bytes()[:-2]), 0x0110),
    (lambda path: path.write_bytes(path.read_bytes()[:200]), 0x0110),  # inside the file meta information
    (lambda path: path.write_bytes(b""), 0x0110),
    (lambda path: path.unlink(), 0x0112),
)


def test_a_damaged_file_is_not_committed(site: Site) -> None:
    """However small the damage; its neighbour is. What is sent again is stored anew, and then committed."""
    (_, good), *rest = references = site.send(*range(len(DAMAGES) + 1))
    bad = [instance for _, instance in rest]
    for instance, (damage, _) in zip(bad, DAMAGES, strict=True):
        damage(site.file(instance))
    site.ask(references)
    with listening(site.ear):
        assert site.work()
        reasons = [reason for _, reason in DAMAGES]
        assert site.ear.outcomes == [(2, [good], dict(zip(bad, reasons, strict=True)))]
        assert site.image(good).committed_until is not None
        assert {site.image(instance).committed_until for instance in bad} == {None}
        for instance in bad:
            site.store(site.films[instance])
        site.ask(references, "2.25.8")
        assert site.work()
    assert site.ear.outcomes[1:] == [(1, sorted([good, *bad]), {})]


def test_a_stated_length_that_is_not_the_files_is_a_damage(site: Site, database: Database) -> None:
    """The length in the row is held against the file."""
    ((_, instance),) = references = site.send(1)
    _set(database, instance, data_set_bytes=7)
    site.ask(references)
    with listening(site.ear):
        assert site.work()
    assert site.ear.outcomes == [(2, [], {instance: 0x0110})]


def test_what_is_not_here_is_not_committed(site: Site, database: Database) -> None:
    """A purged film, one of another SOP class, a report whose identity alone was recorded, and an unknown object."""
    (purged, kept) = site.send(1, 2)
    _set(database, purged[1], purged_at=NOW)
    report = Dataset()
    report.SOPClassUID, report.SOPInstanceUID = ComprehensiveSRStorage, "2.25.99"
    report.StudyInstanceUID, report.SeriesInstanceUID = "2.25.1", "2.25.2"
    site.store(report)
    site.ask([purged, (CT, kept[1]), (ComprehensiveSRStorage, "2.25.99"), (CT, "2.25.404")])
    with listening(site.ear):
        assert site.work()
    failed = {purged[1]: 0x0112, kept[1]: 0x0119, "2.25.99": 0x0112, "2.25.404": 0x0112}
    assert site.ear.outcomes == [(2, [], failed)]
    assert site.image(kept[1]).committed_until is None


def test_the_current_object_is_the_one_that_counts(site: Site, database: Database) -> None:
    """Of two contents under one UID the newer is checked; the older, which its sender may hold, is kept with it."""
    ((sop_class, instance),) = site.send(1)
    older = site.image(instance)
    changed = site.films[instance]
    changed.InstitutionName = "elsewhere"
    site.store(changed)
    site.service.spool.path(older.content_sha256).unlink()
    site.ask([(sop_class, instance)])
    with listening(site.ear):
        assert site.work()
        assert site.ear.outcomes == [(1, [instance], {})]
        with database.read() as session:
            assert session.scalars(select(Image.committed_until)).all() == [NOW + timedelta(days=10)] * 2
            (newer,) = session.scalars(select(Image.content_sha256).where(Image.state == "received")).all()
        site.service.spool.path(newer).unlink()
        site.ask([(sop_class, instance)], "2.25.8")
        assert site.work()
    assert site.ear.outcomes[1:] == [(2, [], {instance: 0x0112})]


def test_an_object_that_changes_while_it_is_checked_is_not_committed(
    site: Site, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read is not what is current any more, or was purged meanwhile: the decision sees it."""
    (_, replaced), (_, purged) = references = site.send(1, 2)

    def replace(*arguments: Any) -> Any:
        found = check(*arguments)
        changed = site.films[replaced]
        changed.InstitutionName = "elsewhere"
        site.store(changed)
        _set(database, purged, purged_at=NOW)
        return found

    check = Committer._faults
    monkeypatch.setattr(Committer, "_faults", replace)
    site.ask(references)
    with listening(site.ear):
        assert site.work()
    assert site.ear.outcomes == [(2, [], {replaced: 0x0110, purged: 0x0112})]


def test_a_promise_is_never_shortened(site: Site, database: Database) -> None:
    """One of an earlier, longer retention stands."""
    ((_, instance),) = references = site.send(1)
    _set(database, instance, committed_until=NOW + timedelta(days=99))
    site.ask(references)
    with listening(site.ear):
        assert site.work()
    assert site.image(instance).committed_until == NOW + timedelta(days=99)


def test_a_full_disk_promises_nothing(site: Site) -> None:
    """Below the free space that is to be kept the caller is told so, and keeps its copy."""
    ((_, instance),) = references = site.send(1)
    site.ask(references)
    settings = site.service.settings.model_copy(update={"min_free_bytes": 1 << 60})
    with listening(site.ear):
        assert Committer(replace(site.service, settings=settings)).commit_next()
    assert site.ear.outcomes == [(2, [], {instance: 0x0213})]
    assert site.image(instance).committed_until is None


def test_a_spool_that_is_away_tells_nothing(site: Site, clock: Clock) -> None:
    """A disk that is not mounted is no loss of the films on it: the request waits until it is back."""
    ((_, instance),) = references = site.send(1)
    site.ask(references)
    root = site.service.spool.root
    root.rename(root.with_name("away"))
    with listening(site.ear):
        assert site.work()
        assert (site.ear.reports, root.exists()) == ([], False)
        assert "mount it" in (site.requests()[0].last_error or "")
        root.with_name("away").rename(root)
        clock.advance(minutes=1)
        assert site.work()
    assert site.ear.outcomes == [(1, [instance], {})]


@UNCLOSED
def test_a_caller_that_is_away_is_told_when_it_is_back(site: Site, clock: Clock) -> None:
    """Tried again with growing delays, once for all its requests; what is told is what is true then."""
    ((_, film), (_, other)) = references = site.send(1, 2)
    site.ask(references)
    site.ask(references[:1], "2.25.8")
    assert [site.work(), site.work()] == [True, False]
    waiting = site.requests()
    assert [(request.state, request.attempts) for request in waiting] == [("pending", 1), ("pending", 0)]
    assert {request.not_before for request in waiting} == {NOW + timedelta(seconds=2)}
    assert all("does not answer" in (request.last_error or "") for request in waiting)
    clock.advance(seconds=2)
    assert [site.work(), site.work()] == [True, False]
    assert site.requests()[0].not_before == clock() + timedelta(seconds=4)
    site.file(other).unlink()
    clock.advance(days=3)
    with listening(site.ear):
        assert [site.work(), site.work(), site.work()] == [True, True, False]
    assert site.ear.outcomes == [(2, [film], {other: 0x0112}), (1, [film], {})]
    assert site.image(film).committed_until == clock() + timedelta(days=10)
    assert {request.state for request in site.requests()} == {"delivered"}


def test_only_an_acknowledgement_ends_the_telling(site: Site, clock: Clock) -> None:
    """A failure status, a peer that breaks off before it answers, one that lets us not in: the report comes again."""
    site.ask(site.send(1))

    def attempt(status: int, **options: Any) -> tuple[str, str]:
        clock.advance(minutes=10)
        site.ear.status = status
        with listening(site.ear, **options):
            assert site.work()
        (request,) = site.requests()
        return request.state, request.last_error or ""

    state, error = attempt(0x0110)
    assert (state, "status 0x0110" in error) == ("pending", True)
    state, error = attempt(0x0000, lets_in="SOMEBODY")
    assert (state, "rejected the association" in error) == ("pending", True)
    state, error = attempt(0x0000, scp_role=False)
    assert (state, "takes no storage commitment reports" in error) == ("pending", True)
    site.ear.before_answer = lambda event: event.assoc.abort()
    state, error = attempt(0x0000)
    assert (state, "no answer in time, or broke" in error) == ("pending", True)
    site.ear.before_answer = lambda _: None
    assert attempt(0x0000)[0] == "delivered"
    assert len(site.ear.reports) == 3
    assert not site.work()


@UNCLOSED
def test_a_request_that_is_never_acknowledged_is_dead_and_can_be_retried(
    service: BuildService, site: Site, speaker: Speaker, clock: Clock, wakes: Wakes
) -> None:
    """After the last attempt the sweep buries it, visibly; `retry` puts it back, and the sweep wakes the worker."""
    ((_, instance),) = references = site.send(1)
    site.ask(references)
    few = replace(site.service, settings=site.service.settings.model_copy(update={"delivery_max_attempts": 2}))
    sweeper = Sweeper(few, speaker, lambda step: step())
    for _ in range(2):
        assert Committer(few).commit_next()
        wakes.queues.clear()
        clock.advance(minutes=10)
    assert not Committer(few).commit_next()
    sweeper.sweep()
    (dead,) = site.requests()
    assert (dead.state, dead.attempts) == ("dead", 2)
    kind, study, detail = site.events()[-1]
    assert (kind, study, detail["failed"]) == ("commitment-dead", site.films[instance].StudyInstanceUID, 0)
    with few.database.read() as session:
        assert service_status(session).dead_commitments == 1
    assert COMMIT not in wakes.queues
    with few.database.begin() as session:
        assert retry_dead_commitments(session) == 1
    sweeper.sweep()
    assert COMMIT in wakes.queues
    with listening(site.ear):
        assert Committer(few).commit_next()
    assert site.ear.outcomes == [(1, [instance], {})]


def test_the_same_request_again_is_one_row_and_is_answered_again(site: Site) -> None:
    """Whether it still waits or was answered; the order of its references does not matter."""
    first, second = site.send(1, 2)
    site.ask([first, second])
    site.ask([second, first])
    with listening(site.ear):
        assert [site.work(), site.work()] == [True, False]
        site.ask([first, second])
        assert site.work()
    assert [outcome[0] for outcome in site.ear.outcomes] == [1, 1]
    assert len(site.requests()) == 1


def test_a_transaction_uid_stands_for_one_set_of_objects(site: Site) -> None:
    """For another set it is refused, and the first request stands as it was."""
    first, second = site.send(1, 2)
    site.ask([first])
    with pytest.raises(CommitmentRequestError, match="Transaction UID was used") as refused:
        site.ask([second])
    assert refused.value.status == 0x0115
    with listening(site.ear):
        assert site.work()
    assert site.ear.outcomes == [(1, [first[1]], {})]


def test_only_configured_callers_may_ask(site: Site) -> None:
    """A stranger, whose address nobody gave us, is refused and leaves no row."""
    with pytest.raises(CommitmentRequestError, match=r"storage_commitment\.callers") as refused:
        site.ask(site.send(1), caller="STRANGER")
    assert (refused.value.status, site.requests()) == (0x0124, [])


def test_a_caller_that_left_the_settings_waits_for_the_operator(site: Site, clock: Clock) -> None:
    """Its request says what to do."""
    site.ask(site.send(1))
    off = site.service.settings.model_copy(update={"storage_commitment": StorageCommitmentSettings()})
    assert Committer(replace(site.service, settings=off)).commit_next()
    assert "storage_commitment.callers of this host: add it" in (site.requests()[0].last_error or "")


def test_one_request_is_worked_on_at_a_time(site: Site, database: Database) -> None:
    """While one is checked a second worker takes none, however long it lasts: the lease is held."""
    first, second = site.send(1, 2)
    site.ask([first], "2.25.7")
    site.ask([second], "2.25.8")
    with database.begin() as session:
        assert claim_commitment(session, now=NOW, policy=POLICY) is not None
    with database.begin() as session:
        assert claim_commitment(session, now=NOW + 59 * SECOND, policy=POLICY) is None
    with database.begin() as session:
        assert claim_commitment(session, now=NOW + 61 * SECOND, policy=POLICY) is not None


def test_a_long_check_keeps_its_lease(site: Site, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each film takes a minute and the lease is two: nobody else takes the request meanwhile."""
    site.ask(site.send(1, 2, 3, 4))
    taken: list[bool] = []

    def slowly(path: Path) -> Content:
        clock.advance(minutes=1)
        taken.append(site.work())
        return read_content(path)

    monkeypatch.setattr(committing, "read_content", slowly)
    with listening(site.ear):
        assert site.work()
    assert taken == [False] * 4
    assert len(site.ear.reports) == 1


def test_a_fault_of_ours_gives_the_request_back(site: Site, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again later, and no lease holds up the others."""
    site.ask(site.send(1))
    monkeypatch.setattr(committing, "read_content", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        site.work()
    monkeypatch.undo()
    assert site.requests()[0].last_error == "a fault of the service: see its log"
    clock.advance(minutes=1)
    with listening(site.ear):
        assert site.work()


def _set(database: Database, sop_instance_uid: str, **values: object) -> None:
    with database.begin() as session:
        session.execute(update(Image).where(Image.sop_instance_uid == sop_instance_uid).values(**values))
