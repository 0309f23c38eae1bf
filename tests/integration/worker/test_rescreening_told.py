"""What a re-screening says: nothing unless it is asked to, and then what every later result agrees with."""

from collections.abc import Callable
from datetime import datetime

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tests.integration.worker.conftest import Clock
from tests.rescreens import BETTER, SICK, WELL, GreyNetwork, archive, finish, promote, rescreener
from tests.studies import FOLDER, PACS, flags, outbox
from worker.correcting import Correction
from worker.model.artifact import default_directory, load_card
from worker.repository.model_versions import RegisteredModel
from worker.repository.rescreen_difference import difference
from worker.repository.rescreening import last_run
from worker.rescreen_tables import RescreenChunk
from worker.rescreening.starting import Order, Starter
from worker.service import Service
from worker.stating import Speaker
from worker.tables import Image, Study

FILMS = {"2.25.1/2.25.11": SICK, "2.25.1/2.25.12": WELL, "2.25.2/2.25.21": WELL}


@pytest.fixture
def network() -> GreyNetwork:
    """The other model."""
    return GreyNetwork(load_card(default_directory()))


@pytest.fixture
def site(service: Callable[..., Service], clock: Clock) -> Service:
    """A service, a minute after its studies came."""
    clock.advance(minutes=1)
    return service()


def speaker_of(model: RegisteredModel) -> Speaker:
    """Speaks for a model."""
    return Speaker(model, (FOLDER, PACS), shadow=False)


def conclude(site: Service, model: RegisteredModel) -> None:
    """Say every study that is quiet."""
    with site.database.begin() as session:
        for study_id in session.scalars(select(Study.id).where(Study.concluded_revision < Study.revision)).all():
            assert speaker_of(model).state_conclusion(session, study_id, site.now())


def screened(site: Service, champion: RegisteredModel, network: GreyNetwork) -> RegisteredModel:
    """An archive without a flag, concluded; then another model is in service, which flags a film of study 2.25.1."""
    archive(site.database, champion, network.card, FILMS)
    conclude(site, champion)
    return promote(site.database)


def deliver(site: Service, model: RegisteredModel, network: GreyNetwork, *, shadow: bool = False) -> None:
    """Run a re-screening that delivers to its end."""
    Starter(site, "me@host").start(Order(deliver=True))
    finish(rescreener(site, model, network, shadow=shadow))


def test_a_newly_flagged_study_is_told_with_the_new_models_answers(
    site: Service, champion: RegisteredModel, network: GreyNetwork
) -> None:
    """The flag says origin rescreen, names the model and its numbers on every frame, raises the study and is sent."""
    better = screened(site, champion, network)
    before = len(flags(site.database))
    deliver(site, better, network)
    (flag,) = flags(site.database)[before:]
    assert (flag["origin"], flag["priority"], flag["complete"]) == ("rescreen", "HIGH", True)
    assert flag["model"] == BETTER.model_dump()
    assert [(p["logit"], p["flagged"], p["model"]) for p in flag["images"]] == [(100, True, None), (-80, False, None)]  # type: ignore[attr-defined]
    assert flag["warnings"] == []
    assert [row[2] for row in outbox(site.database) if row[0] == "rescreened"] == ["flags", "pacs"]
    with site.database.read() as session:
        assert session.query(Study.priority).order_by(Study.id).all() == [("HIGH",), (None,)]
        run = last_run(session)
        assert run is not None
        assert [study.told for study in difference(session, run, site.now()).newly_flagged] == [True]


def test_delivering_again_says_nothing_twice(site: Service, champion: RegisteredModel, network: GreyNetwork) -> None:
    """A second run that delivers finds the study raised."""
    better = screened(site, champion, network)
    deliver(site, better, network)
    said = len(flags(site.database))
    deliver(site, better, network)
    assert len(flags(site.database)) == said


def test_a_report_can_be_looked_at_before_anybody_is_told(
    site: Service, champion: RegisteredModel, network: GreyNetwork
) -> None:
    """What a first run only reported is told by a second one that delivers, without being scored again."""
    better = screened(site, champion, network)
    Starter(site, "me@host").start(Order())
    finish(rescreener(site, better, network))
    said, scored = len(flags(site.database)), sum(network.batches)
    deliver(site, better, network)
    assert [flag["origin"] for flag in flags(site.database)[said:]] == ["rescreen"]
    assert sum(network.batches) == scored


def test_an_older_study_is_only_reported(
    site: Service, champion: RegisteredModel, network: GreyNetwork, clock: Clock
) -> None:
    """What was received longer than `rescreen_deliver_days` ago was read long since."""
    better = screened(site, champion, network)
    said = len(flags(site.database))
    clock.advance(days=3)
    deliver(site, better, network)
    assert len(flags(site.database)) == said
    with site.database.read() as session:
        run = last_run(session)
        assert run is not None
        assert difference(session, run, site.now()).studies.newly_flagged == 1


def test_a_flag_that_a_reader_withdrew_is_not_raised_by_another_model(
    site: Service, champion: RegisteredModel, network: GreyNetwork
) -> None:
    """The same film, flagged again, says nothing: a reader has seen it."""
    archive(site.database, champion, network.card, FILMS, flagged=["2.25.1/2.25.11"])
    conclude(site, champion)
    Correction(site, speaker_of(champion), "reader").withdraw("2.25.1", "no infiltrate")
    said = len(flags(site.database))
    deliver(site, promote(site.database), network)
    assert len(flags(site.database)) == said
    with site.database.read() as session:
        assert session.query(Study.priority).order_by(Study.id).all() == [(None,), (None,)]


def test_a_reader_can_withdraw_what_a_rescreening_flagged(
    site: Service, champion: RegisteredModel, network: GreyNetwork
) -> None:
    """The film is marked, and the next night raises nothing again."""
    better = screened(site, champion, network)
    deliver(site, better, network)
    Correction(site, speaker_of(better), "reader").withdraw("2.25.1", "no infiltrate")
    said = len(flags(site.database))
    deliver(site, better, network)
    assert (flags(site.database)[-1]["priority"], len(flags(site.database))) == (None, said)


def test_a_film_that_comes_later_leaves_the_flag_as_it_is(
    site: Service, champion: RegisteredModel, network: GreyNetwork
) -> None:
    """The result of the new revision is HIGH, names the new model, and still holds the flagged frame's numbers."""
    better = screened(site, champion, network)
    deliver(site, better, network)
    archive(site.database, better, network.card, {"2.25.1/2.25.13": WELL})
    conclude(site, better)
    flag = flags(site.database)[-1]
    assert (flag["priority"], flag["revision"], flag["origin"]) == ("HIGH", 3, "live")
    assert [p["flagged"] for p in flag["images"]] == [True, False, False]  # type: ignore[attr-defined]
    assert flag["model"] == BETTER.model_dump()
    assert flag["warnings"] == []


def test_a_study_that_the_new_model_has_seen_in_part_is_told_too(
    site: Service, champion: RegisteredModel, network: GreyNetwork
) -> None:
    """Its revision was concluded by the new model already, on a film that came after the promotion."""
    better = screened(site, champion, network)
    archive(site.database, better, network.card, {"2.25.1/2.25.13": WELL})
    conclude(site, better)
    deliver(site, better, network)
    assert [flags(site.database)[-1][name] for name in ("origin", "priority", "revision")] == ["rescreen", "HIGH", 3]


def test_in_shadow_nothing_is_sent(site: Service, champion: RegisteredModel, network: GreyNetwork) -> None:
    """The result is recorded as one of shadow screening, and goes nowhere."""
    better = screened(site, champion, network)
    deliver(site, better, network, shadow=True)
    assert flags(site.database)[-1]["origin"] == "shadow"
    assert [row for row in outbox(site.database) if row[0] == "rescreened"] == []


def test_another_model_put_in_service_meanwhile_ends_the_telling(
    site: Service, champion: RegisteredModel, network: GreyNetwork
) -> None:
    """The run goes on with the model it began with, as a report; that model speaks for nobody any more."""
    better = screened(site, champion, network)
    said = len(flags(site.database))
    Starter(site, "me@host").start(Order(deliver=True))
    promote(site.database, BETTER.model_copy(update={"version": "1.2.0", "sha256": "c" * 64}))
    finish(rescreener(site, better, network))
    assert len(flags(site.database)) == said
    with site.database.read() as session:
        run = last_run(session)
        assert run is not None
        assert (run.outcome, difference(session, run, site.now()).studies.newly_flagged) == ("finished", 1)


def test_a_run_that_was_stopped_tells_of_nothing_more(
    site: Service, champion: RegisteredModel, network: GreyNetwork
) -> None:
    """Whoever ends it, as too much is told, hears no more of it: what its workers had in hand is not told either."""
    better = screened(site, champion, network)
    said = len(flags(site.database))
    starter = Starter(site, "me@host")
    starter.start(Order(deliver=True))

    def stop() -> None:
        starter.stop()

    finish(rescreener(site, better, network, between=stop))
    assert (len(flags(site.database)), last_outcome(site)) == (said, "stopped")


def test_a_study_is_counted_as_it_is_told(site: Service, champion: RegisteredModel, network: GreyNetwork) -> None:
    """A worker that is killed before its chunk is closed has told it; the one that goes on does not say it again."""
    better = screened(site, champion, network)
    Starter(site, "me@host").start(Order(deliver=True))
    host = rescreener(site, better, network)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("worker.rescreening.scoring.close_chunk", interrupt)
        with pytest.raises(KeyboardInterrupt):
            host.score_next_chunk()
    with site.database.begin() as session:
        session.execute(update(RescreenChunk).values(not_before=None))
    finish(host)
    with site.database.read() as session:
        run = last_run(session)
    assert run is not None
    assert (run.outcome, run.told) == ("finished", 1)


def test_a_study_that_cannot_be_said_holds_up_no_other_one(
    site: Service, champion: RegisteredModel, network: GreyNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others of its chunk are told at once; its fault is raised afterwards."""
    archive(site.database, champion, network.card, {**FILMS, "2.25.3/2.25.31": SICK})
    conclude(site, champion)
    better, say = promote(site.database), Speaker.state_rescreening

    def broken(self: Speaker, session: Session, study: Study, now: datetime) -> bool:
        if study.study_instance_uid == "2.25.1":
            raise ArithmeticError
        return say(self, session, study, now)

    monkeypatch.setattr(Speaker, "state_rescreening", broken)
    Starter(site, "me@host").start(Order(deliver=True))
    with pytest.raises(ArithmeticError):
        rescreener(site, better, network).score_next_chunk()
    assert [(flags(site.database)[-1][name]) for name in ("study_instance_uid", "priority")] == ["2.25.3", "HIGH"]


def interrupt(*_: object, **__: object) -> None:
    """As a worker that is ended from outside."""
    raise KeyboardInterrupt


def last_outcome(site: Service) -> str | None:
    """How the last run ended."""
    with site.database.read() as session:
        run = last_run(session)
    assert run is not None
    return run.outcome


def test_a_rejected_film_of_the_right_patient_still_raises(
    site: Service, champion: RegisteredModel, network: GreyNetwork
) -> None:
    """As in live screening: the better film may never come."""
    better = screened(site, champion, network)
    with site.database.begin() as session:
        session.execute(update(Image).where(Image.sop_instance_uid == "2.25.11").values(rejection="113001"))
    deliver(site, better, network)
    assert flags(site.database)[-1]["priority"] == "HIGH"
    assert flags(site.database)[-1]["model"] == BETTER.model_dump()
