"""What became of what we sent: storage commitment asked for and heard of, on both kinds of database."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pynetdicom import evt
from sqlalchemy import select, update

from dicom_io.header import encode_header
from dicom_io.report import ReportForm, derive_uid
from dicom_io.scp import StorageSCP
from dicom_io.types import ApplicationEntity
from tests.integration.worker.conftest import Clock
from tests.report_pacs import ReportPacs, event_information, report_pacs, report_to
from tests.results import film
from tests.servers.orthanc import StartOrthanc
from tests.servers.ports import LOOPBACK, wait_until
from tests.studies import incoming, prepare, receive, result, say
from worker.committed import CommitmentEar
from worker.db import Database
from worker.delivering import Deliverer
from worker.destinations import DicomDestination
from worker.domain import Flag, Stage
from worker.intake import Intake
from worker.repository.asked_commitments import MOST_FAILURES
from worker.repository.model_versions import RegisteredModel
from worker.repository.outbox import retry_dead_deliveries
from worker.service import Service
from worker.tables import Delivery, Event

BuildService = Callable[..., Service]
BEST = ReportForm.COMPREHENSIVE_3D_SR
TITLES = "delivered", "delivery-committed", "delivery-uncommitted", "delivery-dead"


@pytest.fixture
def said(database: Database, champion: RegisteredModel) -> Flag:
    """A flag that waits for the PACS."""
    receive(database, incoming())
    prepare(database, header=encode_header(film("2.25.11")))
    flag = result(flagged=True)
    say(database, champion, flag, stage=Stage.EARLY, to=("pacs",))
    return flag


def row(database: Database) -> Delivery:
    """The oldest delivery."""
    with database.read() as session:
        return session.scalars(select(Delivery).order_by(Delivery.id)).first() or Delivery()


def told(database: Database) -> list[str]:
    """What the audit trail says of deliveries."""
    with database.read() as session:
        return list(session.scalars(select(Event.kind).where(Event.kind.in_(TITLES)).order_by(Event.id)))


@contextmanager
def listener(service: Service) -> Iterator[int]:
    """The listener as the service runs it for its destinations; its port."""
    address = ApplicationEntity("CXRTRIAGE", LOOPBACK, 0)
    with StorageSCP(address, Intake(service).receive, hear=CommitmentEar(service).hear) as scp:
        yield scp.port


def information(pacs: ReportPacs, *, failed: bool = False) -> Any:
    """What the PACS reports on the last thing that it was asked for."""
    uid, *reference = pacs.asked[-1]
    objects = [(reference[0], reference[1])]
    return event_information(uid, [] if failed else objects, objects if failed else [])


@pytest.fixture
def pacs() -> Iterator[ReportPacs]:
    """A PACS that commits."""
    with report_pacs(ReportPacs(), commits=True) as pacs:
        yield pacs


def test_a_report_at_our_listener_closes_the_question(
    database: Database, said: Flag, service: BuildService, pacs: ReportPacs
) -> None:
    """Asked, then committed; said once in the audit trail however often the report comes."""
    built = service(destinations=(pacs.destination(),))
    assert Deliverer(built).deliver_next()
    asked = row(database)
    assert (asked.state, asked.form, asked.commitment) == ("delivered", BEST, "asked")
    assert [asked.transaction_uid, derive_uid(said.result_uid, "sr")] == [pacs.asked[0][0], pacs.asked[0][2]]
    with listener(built) as port:
        assert [report_to(port, information(pacs)) for _ in range(2)] == [0x0000, 0x0000]
        assert report_to(port, information(pacs, failed=True), event_type=2) == 0x0000
    assert (row(database).state, row(database).commitment) == ("delivered", "committed")
    assert told(database) == ["delivered", "delivery-committed"]


@pytest.mark.parametrize("failed", [False, True])
def test_a_report_that_overtakes_our_own_record_counts(
    failed: bool, database: Database, said: Flag, service: BuildService, pacs: ReportPacs
) -> None:
    """The PACS reports before it has answered the N-ACTION: the outcome stands when the delivery is recorded."""
    built = service(destinations=(pacs.destination(),))
    statuses: list[int | None] = []

    def report(_: evt.Event) -> None:
        statuses.append(report_to(port, information(pacs, failed=failed), event_type=2 if failed else 1))

    pacs.on_action = report
    with listener(built) as port:
        assert Deliverer(built).deliver_next()
    assert statuses == [0x0000]
    assert (row(database).state, row(database).commitment) == (
        ("pending", "failed") if failed else ("delivered", "committed")
    )
    assert set(told(database)) == {"delivered", "delivery-uncommitted" if failed else "delivery-committed"}


def test_what_is_not_committed_is_sent_again_a_few_times_and_then_a_dead_letter(
    database: Database, said: Flag, service: BuildService, pacs: ReportPacs, clock: Clock
) -> None:
    """Each time the same object under a new transaction; attempts go on counting; a person sees it in the end."""
    built = service(destinations=(pacs.destination(),))
    with listener(built) as port:
        for number in range(1, MOST_FAILURES + 1):
            assert Deliverer(built).deliver_next()
            assert not Deliverer(built).deliver_next()
            assert report_to(port, information(pacs, failed=True), event_type=2) == 0x0000
            assert not Deliverer(built).deliver_next()
            assert (row(database).attempts, row(database).commitment_failures) == (number, number)
            clock.advance(minutes=10)
        assert not Deliverer(built).deliver_next()
    dead = row(database)
    assert (dead.state, dead.last_error) == ("dead", "the peer did not commit to store it, reason 0x0110")
    assert len({uid for uid, *_ in pacs.asked}) == MOST_FAILURES
    assert len({instance for *_, instance in pacs.asked}) == 1
    assert told(database) == ["delivered", "delivery-uncommitted"] * MOST_FAILURES + ["delivery-dead"]
    with database.begin() as session:
        assert retry_dead_deliveries(session, clock(), by="operator") == 1
    assert row(database).commitment_failures == 0


def test_an_overtaken_result_is_not_sent_again(
    database: Database, champion: RegisteredModel, said: Flag, service: BuildService, pacs: ReportPacs, clock: Clock
) -> None:
    """The PACS has a later word of the study: the old one stays delivered, its commitment failed."""
    built = service(destinations=(pacs.destination(),))
    assert Deliverer(built).deliver_next()
    first = information(pacs, failed=True)
    say(database, champion, result(revision=2), to=("pacs",))
    assert Deliverer(built).deliver_next()
    with listener(built) as port:
        assert report_to(port, first, event_type=2) == 0x0000
    assert (row(database).state, row(database).commitment) == ("delivered", "failed")
    clock.advance(minutes=10)
    assert not Deliverer(built).deliver_next()


@pytest.mark.parametrize("when", ["while the later one is sent", "before a more urgent one is said"])
def test_a_result_that_is_overtaken_before_it_is_sent_again_is_not(
    when: str,
    database: Database,
    champion: RegisteredModel,
    service: BuildService,
    pacs: ReportPacs,
    clock: Clock,
) -> None:
    """It is put back into the outbox, and stays delivered once the PACS has the later word: it comes after none."""
    receive(database, incoming())
    prepare(database, header=encode_header(film("2.25.11")))
    say(database, champion, result(complete=False), stage=Stage.EARLY, to=("pacs",))
    built = service(destinations=(pacs.destination(),))
    assert Deliverer(built).deliver_next()
    first = information(pacs, failed=True)
    statuses: list[int | None] = []

    def report(_: evt.Event) -> None:
        statuses.append(report_to(port, first, event_type=2))

    with listener(built) as port:
        if when == "while the later one is sent":
            pacs.on_action = report
        else:
            statuses.append(report_to(port, first, event_type=2))
        say(database, champion, result(revision=2, flagged=True), to=("pacs",))
        assert Deliverer(built).deliver_next()
    assert statuses == [0x0000]
    assert (row(database).state, row(database).commitment) == ("delivered", "failed")
    clock.advance(minutes=10)
    assert not Deliverer(built).deliver_next()
    assert len(pacs.stored) == 2


def test_what_became_of_another_object_says_nothing_of_ours(
    database: Database, said: Flag, service: BuildService, pacs: ReportPacs
) -> None:
    """A PACS that reports on several objects at once, and lost another one, has committed to ours."""
    built = service(destinations=(pacs.destination(),))
    assert Deliverer(built).deliver_next()
    uid, *reference = pacs.asked[-1]
    told_of = event_information(uid, [(reference[0], reference[1])], [(reference[0], "2.25.999")])
    with listener(built) as port:
        assert report_to(port, told_of, event_type=2) == 0x0000
    assert (row(database).state, row(database).commitment) == ("delivered", "committed")


@pytest.mark.parametrize("fault", ["another peer", "another transaction", "another object", "no longer asked"])
def test_a_report_that_nobody_asked_for_changes_nothing(
    fault: str, database: Database, said: Flag, service: BuildService, pacs: ReportPacs
) -> None:
    """Only the peer that was asked may report, under that transaction, on that object."""
    assert Deliverer(service(destinations=(pacs.destination(),))).deliver_next()
    told_of = information(pacs)
    if fault == "another transaction":
        told_of.TransactionUID = "2.25.999"
    if fault == "another object":
        told_of.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "2.25.999"
    asks = fault != "no longer asked"
    with listener(service(destinations=(pacs.destination(storage_commitment=asks),))) as port:
        assert report_to(port, told_of, ae_title="OTHER" if fault == "another peer" else "PACS") == 0x0115
    assert row(database).commitment == "asked"


def test_a_destination_that_is_not_to_be_asked_is_not(
    database: Database, said: Flag, service: BuildService, pacs: ReportPacs
) -> None:
    """`storage_commitment = false`: no question, no transaction."""
    assert Deliverer(service(destinations=(pacs.destination(storage_commitment=False),))).deliver_next()
    assert pacs.asked == []
    assert (row(database).state, row(database).commitment, row(database).transaction_uid) == ("delivered", None, None)


def test_a_new_attempt_asks_under_a_new_transaction(
    database: Database, said: Flag, service: BuildService, pacs: ReportPacs, clock: Clock
) -> None:
    """A sender that died after its question leaves a transaction that the next attempt replaces."""
    built = service(destinations=(pacs.destination(),))
    with database.begin() as session:
        session.execute(update(Delivery).values(transaction_uid="2.25.5", commitment="committed"))
    clock.advance(minutes=10)
    assert Deliverer(built).deliver_next()
    assert pacs.asked[0][0] == row(database).transaction_uid != "2.25.5"
    assert row(database).commitment == "asked"


def test_orthanc_commits_to_what_it_was_sent(
    database: Database, said: Flag, service: BuildService, orthanc: StartOrthanc
) -> None:
    """A whole PACS takes the report, is asked, and reports to our listener: the delivery says committed."""
    with listener(service(destinations=(ReportPacs(port=1).destination(ae_title="ORTHANC"),))) as port:
        server = orthanc(DicomModalities={"cxr": ["CXRTRIAGE", LOOPBACK, port]})
        destination = DicomDestination(
            kind="dicom", name="pacs", ae_title="ORTHANC", host=server.host, port=server.port, timeout_seconds=10
        )
        assert Deliverer(service(destinations=(destination,))).deliver_next()
        wait_until(lambda: row(database).commitment == "committed", "the report of Orthanc")
        (instance,) = server.get("/instances?expand")
    assert instance["MainDicomTags"]["SOPInstanceUID"] == derive_uid(said.result_uid, "sr")
    assert row(database).answer == "stored, status 0x0000; asked for storage commitment"
    assert told(database) in (["delivered", "delivery-committed"], ["delivery-committed", "delivered"])
