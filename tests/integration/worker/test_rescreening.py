"""Re-screening on both kinds of database: what is scored, what is reported, and what is said to whom."""

from collections.abc import Callable

import pytest
from sqlalchemy import delete, select, update

from tests.integration.worker.conftest import Clock
from tests.rescreens import (
    KILLER,
    NONSENSE,
    SICK,
    STRANGE,
    WELL,
    GreyNetwork,
    archive,
    film,
    finish,
    promote,
    rescreener,
)
from tests.studies import NOW, incoming, receive
from worker.db import Database
from worker.model.artifact import ModelCard, default_directory, load_card
from worker.repository.model_versions import RegisteredModel
from worker.repository.rescreen_difference import difference
from worker.repository.rescreen_views import Changes, Difference
from worker.repository.rescreening import find_run
from worker.rescreen_tables import Rescreen, RescreenChunk, RescreenScore
from worker.rescreening.starting import Order, Starter
from worker.service import Service
from worker.tables import Event, Image, PreparedImage, Result, Score, Study

ARCHIVE = {"2.25.1/2.25.11": SICK, "2.25.2/2.25.21": WELL, "2.25.3/2.25.31": SICK, "2.25.4/2.25.41": WELL}
FLAGGED = ("2.25.2/2.25.21", "2.25.3/2.25.31")


@pytest.fixture(scope="module")
def card() -> ModelCard:
    """The shipped model's card."""
    return load_card(default_directory())


@pytest.fixture
def network(card: ModelCard) -> GreyNetwork:
    """The other model."""
    return GreyNetwork(card)


@pytest.fixture
def site(service: Callable[..., Service], clock: Clock) -> Service:
    """A service, a minute after its studies came."""
    clock.advance(minutes=1)
    return service(batch_size=2)


def start(site: Service, **order: object) -> int:
    """Start a run."""
    return Starter(site, "me@host").start(Order(**order)).run.id  # type: ignore[arg-type]


def report(site: Service, run_id: int = 1) -> Difference:
    """The difference of a run."""
    with site.database.read() as session:
        run = find_run(session, run_id)
        assert run is not None
        return difference(session, run, site.now())


def run_row(database: Database) -> Rescreen:
    """The last run."""
    with database.read() as session:
        return session.scalars(select(Rescreen).order_by(Rescreen.id.desc()).limit(1)).one()


def test_a_report_says_what_the_model_says_otherwise_and_changes_nothing(
    site: Service, champion: RegisteredModel, network: GreyNetwork
) -> None:
    """Newly, no longer and still flagged studies are told apart; scores, priorities and results stay as they were."""
    archive(site.database, champion, network.card, ARCHIVE, flagged=FLAGGED)
    better = promote(site.database)
    run_id = start(site)
    finish(rescreener(site, better, network))
    found = report(site, run_id)
    assert found.studies == Changes(newly_flagged=1, no_longer_flagged=1, still_flagged=1, never_flagged=1)
    assert found.frames == found.studies
    assert [study.study_instance_uid for study in found.newly_flagged] == ["2.25.1"]
    assert [study.study_instance_uid for study in found.no_longer_flagged] == ["2.25.2"]
    assert [pair.previous.version for pair in found.pairs] == ["1.0.0"]
    assert found.run.outcome == "finished"
    assert (found.counts.frames_scored, found.counts.unanswered, found.run.done) == (4, 0, 4)
    with site.database.read() as session:
        assert set(session.scalars(select(Score.model_version_id))) == {champion.id}
        assert session.scalars(select(Result)).all() == []
        assert session.query(Study.priority).order_by(Study.id).all() == [(None,), ("HIGH",), ("HIGH",), (None,)]


def test_the_json_report_names_no_accession_number(
    site: Service, champion: RegisteredModel, network: GreyNetwork
) -> None:
    """The studies are named by their UIDs; the page for the site has the accession number."""
    archive(site.database, champion, network.card, ARCHIVE)
    better = promote(site.database)
    start(site)
    finish(rescreener(site, better, network))
    found = report(site)
    assert "ACC1" not in found.to_json()
    assert "2.25.1" in found.to_json()
    assert found.newly_flagged[0].accession_number == "ACC1"


def test_what_the_model_has_scored_is_not_scored_again(
    site: Service, champion: RegisteredModel, network: GreyNetwork
) -> None:
    """Neither live nor in an earlier run; the second report is the same as the first, as it goes by the window."""
    archive(site.database, champion, network.card, ARCHIVE)
    better = promote(site.database)
    archive(site.database, better, network.card, {"2.25.9/2.25.91": SICK})
    start(site)
    finish(rescreener(site, better, network))
    first = report(site)
    assert (first.counts.frames_scored, first.counts.already) == (4, 1)
    second = start(site)
    finish(rescreener(site, better, network))
    assert sum(network.batches) == 4
    again = report(site, second)
    assert (again.studies, again.counts.frames_scored, again.run.frames) == (first.studies, 4, 0)
    assert again.run.outcome == "finished"


def test_a_run_that_is_broken_off_goes_on_and_doubles_nothing(
    site: Service, champion: RegisteredModel, network: GreyNetwork, clock: Clock
) -> None:
    """A worker that is killed in the middle of a chunk leaves its lease; another one scores the rest after it."""
    archive(site.database, champion, network.card, ARCHIVE)
    better = promote(site.database)
    start(site)
    with site.database.begin() as session:  # as a killed worker leaves it: a chunk in hand, one frame written
        session.add(
            RescreenChunk(
                rescreen_id=1,
                first_study_id=1,
                last_study_id=4,
                urgency=0,
                attempts=1,
                lease_until=clock() + site.image_policy.lease,
            )
        )
        session.execute(update(Rescreen).values(planned_study_id=4))
    finish(rescreener(site, better, network))
    assert (network.batches, run_row(site.database).open) == ([], True)
    clock.advance(minutes=5)
    finish(rescreener(site, better, network))
    assert (sum(network.batches), run_row(site.database).open, report(site).counts.frames_scored) == (4, False, 4)


def test_a_device_that_is_gone_costs_no_attempt(
    site: Service, champion: RegisteredModel, network: GreyNetwork, clock: Clock
) -> None:
    """While the network answers for nothing the chunk goes back again and again; a device that is back scores it."""
    archive(site.database, champion, network.card, ARCHIVE)
    better = promote(site.database)
    start(site)
    network.broken = True
    for _ in range(10):
        with pytest.raises(RuntimeError):
            rescreener(site, better, network).score_next_chunk()
        clock.advance(minutes=10)
    network.broken = False
    finish(rescreener(site, better, network))
    assert report(site).counts.frames_scored == 4


def test_films_that_cannot_be_scored_are_counted_and_named_and_the_others_go_on(
    site: Service, champion: RegisteredModel, network: GreyNetwork
) -> None:
    """Pixels of the wrong shape, pixels that are gone with their file, and an answer that is no number."""
    films = {**ARCHIVE, "2.25.5/2.25.51": NONSENSE}
    archive(site.database, champion, network.card, films)
    with site.database.begin() as session:
        images = {image.sop_instance_uid: image for image in session.scalars(select(Image))}
        wrong = update(PreparedImage).where(PreparedImage.content_sha256 == images["2.25.11"].content_sha256)
        session.execute(wrong.values(pixels=film(SICK, 32)))
        gone = images["2.25.21"].content_sha256
        session.execute(delete(PreparedImage).where(PreparedImage.content_sha256 == gone))
        images["2.25.21"].purged_at = NOW
    better = promote(site.database)
    start(site)
    finish(rescreener(site, better, network))
    counts = report(site).counts
    assert (counts.damaged, counts.not_prepared, counts.no_score, counts.frames_scored) == (1, 1, 1, 2)
    assert report(site).lacking == ["2.25.11", "2.25.21", "2.25.51"]
    assert counts.unanswered == 0


def test_a_chunk_that_always_fails_is_given_up_and_the_run_ends(
    site: Service, champion: RegisteredModel, network: GreyNetwork, clock: Clock
) -> None:
    """What fails for one film keeps no run open; those before and behind it are scored alone, and told."""
    before, behind = dict(list(ARCHIVE.items())[:2]), dict(list(ARCHIVE.items())[2:])
    archive(site.database, champion, network.card, {**before, "2.25.5/2.25.51": KILLER, **behind})
    better = promote(site.database)
    start(site, deliver=True)
    for _ in range(site.settings.max_attempts):
        with pytest.raises(ArithmeticError):
            rescreener(site, better, network).score_next_chunk()
        clock.advance(minutes=10)
    finish(rescreener(site, better, network))
    counts = report(site).counts
    assert (counts.frames_scored, counts.unanswered, run_row(site.database).outcome) == (4, 1, "finished")
    assert run_row(site.database).told == 2


def test_rejected_withdrawn_and_unfinished_images_are_told_apart(
    site: Service, champion: RegisteredModel, network: GreyNetwork
) -> None:
    """Another patient's film is not scored, a withdrawn one raises nothing, and what is still in work is left to it."""
    archive(site.database, champion, network.card, ARCHIVE)
    receive(site.database, incoming("2.25.51", study="2.25.5"))
    with site.database.begin() as session:
        session.execute(update(Image).where(Image.sop_instance_uid == "2.25.11").values(withdrawn=True))
        session.execute(update(Image).where(Image.sop_instance_uid == "2.25.31").values(rejection="113037"))
    better = promote(site.database)
    start(site)
    finish(rescreener(site, better, network))
    found = report(site)
    assert (found.counts.withdrawn, found.counts.other_patient, found.counts.being_screened) == (1, 1, 1)
    assert (found.studies.newly_flagged, found.counts.frames_scored) == (0, 3)


def test_a_strange_film_stays_unflagged(site: Service, champion: RegisteredModel, network: GreyNetwork) -> None:
    """A picture that looks like no chest film to the other model is recorded as such."""
    archive(site.database, champion, network.card, {"2.25.1/2.25.11": STRANGE})
    better = promote(site.database)
    start(site)
    finish(rescreener(site, better, network))
    with site.database.read() as session:
        assert session.query(RescreenScore.strange, RescreenScore.flagged).all() == [(True, False)]


def test_the_audit_trail_tells_of_studies_whose_flag_changed(
    site: Service, champion: RegisteredModel, network: GreyNetwork
) -> None:
    """One event per study that is newly or no longer flagged, once, and the beginning and end of the run."""
    archive(site.database, champion, network.card, ARCHIVE, flagged=FLAGGED)
    better = promote(site.database)
    start(site)
    finish(rescreener(site, better, network))
    with site.database.read() as session:
        events = session.query(Event.kind, Event.study_instance_uid).order_by(Event.id)
        told = events.where(Event.kind.like("%rescreen%")).all()
    assert told == [
        ("rescreen-started", None),
        ("study-rescreened", "2.25.1"),
        ("study-rescreened", "2.25.2"),
        ("rescreen-finished", None),
    ]
