"""Storage commitment from the request to the acknowledged report, on both kinds of database."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from dicom_io.errors import CommitmentRequestError, OutOfResourcesError
from dicom_io.identity import Content, read_content
from tests.commitment_client import CALLER, listening
from tests.commitment_site import Site
from tests.integration.worker.conftest import Clock, Wakes
from tests.studies import NOW, POLICY, SECOND
from worker import committing
from worker.committing import Committer
from worker.db import Database
from worker.maintenance import Sweeper
from worker.queues import COMMIT
from worker.repository.commitments import claim_commitment, retry_dead_commitments
from worker.repository.views import service_status, study_history
from worker.sections import StorageCommitmentSettings
from worker.stating import Speaker

CT = "1.2.840.10008.5.1.4.1.1.2"

# pynetdicom drops the socket of a refused connection without closing it.
UNCLOSED = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")


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


@UNCLOSED
def test_a_caller_that_is_away_is_told_when_it_is_back(site: Site, clock: Clock) -> None:
    """Tried again with growing delays, once for all its requests; what is told is what is true then."""
    ((_, film), (_, other)) = references = site.send(1, 2)
    site.ask(references)
    site.ask(references[:1], "2.25.8")
    assert [site.work(), site.work()] == [True, False]
    waiting = site.requests()
    assert [(request.state, request.attempts) for request in waiting] == [("pending", 1), ("pending", 0)]
    (later,) = {request.not_before for request in waiting}
    assert later is not None
    assert NOW + timedelta(seconds=1) <= later <= NOW + timedelta(seconds=2)
    assert all("does not answer" in (request.last_error or "") for request in waiting)
    clock.advance(seconds=2)
    assert [site.work(), site.work()] == [True, False]
    again = site.requests()[0].not_before
    assert again is not None
    assert clock() + timedelta(seconds=2) <= again <= clock() + timedelta(seconds=4)
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
    site: Site, speaker: Speaker, clock: Clock, wakes: Wakes
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
    (request,) = site.requests()
    assert (request.last_error, "committing.py" in (request.traceback or "")) == ("ZeroDivisionError", True)
    clock.advance(minutes=1)
    with listening(site.ear):
        assert site.work()
