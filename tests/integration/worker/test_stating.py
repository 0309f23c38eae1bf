"""What a speaker says of a study, and to whom, on both kinds of database."""

from dataclasses import replace

from sqlalchemy import select

from dicom_io.reasons import Reason
from tests.studies import (
    FOLDER,
    NOW,
    PACS,
    flags,
    incoming,
    outbox,
    prepare,
    receive,
    results,
    rolled_back,
    score_everything,
    state,
    study_id,
    the_study,
)
from worker.db import Database
from worker.domain import ImageState
from worker.repository.model_versions import RegisteredModel
from worker.stating import Speaker
from worker.tables import Score, Study


def test_a_finding_is_told_at_once_and_once(database: Database, champion: RegisteredModel, speaker: Speaker) -> None:
    """While a second film waits, the first one's flag goes out as incomplete; a further flag tells nothing new."""
    receive(database, incoming(), incoming("2.25.12"))
    prepare(database)
    score_everything(database, champion, flagged={"2.25.11"})
    assert state(database, speaker.state_finding)
    assert not state(database, speaker.state_finding)
    (early,) = flags(database)
    assert (early["complete"], early["status"], early["reason"]) == (False, "UNSCREENED", "pending")
    assert (early["priority"], early["priority_reason"]) == ("HIGH", "finding")
    assert (the_study(database).priority, the_study(database).concluded_revision) == ("HIGH", 0)


def test_a_study_that_is_raised_is_not_raised_again(
    database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """A further flagged film of a later revision waits for the conclusion: the reader has the study on top already."""
    receive(database, incoming())
    prepare(database)
    score_everything(database, champion, flagged={"2.25.11"})
    assert state(database, speaker.state_finding)
    receive(database, incoming("2.25.12"))
    prepare(database, "2.25.12")
    score_everything(database, champion, flagged={"2.25.12"})
    assert not state(database, speaker.state_finding)
    assert state(database, speaker.state_conclusion)


def test_nothing_flagged_is_not_told_early(database: Database, champion: RegisteredModel, speaker: Speaker) -> None:
    """A film below the threshold says nothing before the study is complete."""
    receive(database, incoming(), incoming("2.25.12"))
    prepare(database)
    score_everything(database, champion)
    assert not state(database, speaker.state_finding)
    assert results(database) == []


def test_a_priority_outlives_the_film_that_raised_it(
    database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """A corrected film without a finding lowers nothing: HIGH stays on the study and in the new result."""
    receive(database, incoming())
    prepare(database)
    score_everything(database, champion, flagged={"2.25.11"})
    state(database, speaker.state_finding)
    state(database, speaker.state_conclusion)
    receive(database, incoming(content="corrected"))
    prepare(database)
    score_everything(database, champion)
    state(database, speaker.state_conclusion)
    last = flags(database)[-1]
    assert (last["revision"], last["priority"], last["finding"]) == (2, "HIGH", "suspected pneumonia")
    assert [image["flagged"] for image in last["images"]] == [False]  # type: ignore[index, attr-defined]
    assert the_study(database).priority == "HIGH"


def test_a_pacs_is_not_told_of_a_study_without_a_chest(database: Database, speaker: Speaker) -> None:
    """A hip's result goes to the folder only."""
    receive(database, incoming())
    prepare(database, state=ImageState.OUT_OF_SCOPE, reason=Reason.WRONG_BODY_PART)
    state(database, speaker.state_conclusion)
    assert [row[2] for row in outbox(database)] == ["flags"]


def test_shadow_screening_stores_and_sends_nothing(database: Database, champion: RegisteredModel) -> None:
    """The result is there, its origin says why, and the outbox is empty."""
    receive(database, incoming())
    prepare(database)
    score_everything(database, champion, flagged={"2.25.11"})
    assert state(database, Speaker(champion, (FOLDER, PACS), shadow=True).state_finding)
    assert flags(database)[0]["origin"] == "shadow"
    assert outbox(database) == []


def test_a_synthetic_study_is_sent_nowhere(database: Database, speaker: Speaker) -> None:
    """The service's own test film reaches no PACS and no folder; it is concluded, and leaves no result behind."""
    receive(database, incoming())
    prepare(database, state=ImageState.FAILED, reason=Reason.TRUNCATED)
    with database.begin() as session:
        session.scalars(select(Study)).one().synthetic = True
    assert state(database, speaker.state_conclusion)
    assert (results(database), outbox(database)) == ([], [])
    assert the_study(database).concluded_revision == 1
    assert not state(database, speaker.state_conclusion)


def test_a_result_that_is_rolled_back_was_never_said(database: Database, champion: RegisteredModel) -> None:
    """Scores, result, outbox and the study's word stand or fall together."""
    receive(database, incoming())
    prepare(database)
    speaker = Speaker(champion, (FOLDER,), shadow=False)
    with rolled_back(database) as session:
        session.scalars(select(Score)).one().logit = 3.0
        session.scalars(select(Score)).one().flagged = True
        assert speaker.state_finding(session, study_id(database), NOW)
    assert (results(database), outbox(database)) == ([], [])
    assert the_study(database).priority is None


def test_every_image_of_the_flag_says_what_became_of_it(
    database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """Scored with its numbers, a lateral with its reason, a replaced object not at all."""
    receive(database, incoming(), incoming("2.25.12"), incoming(content="corrected"))
    prepare(database, frames=2)
    prepare(database, "2.25.12", state=ImageState.OUT_OF_SCOPE, reason=Reason.LATERAL_VIEW)
    score_everything(database, champion)
    state(database, speaker.state_conclusion)
    images = flags(database)[0]["images"]
    told = [(i["sop_instance_uid"], i["frame"], i["status"], i["reason"], i["logit"]) for i in images]  # type: ignore[attr-defined]
    assert told == [
        ("2.25.12", 1, "UNSCREENED", "lateral-view", None),
        ("2.25.11", 1, "SCREENED", None, -4.0),
        ("2.25.11", 2, "SCREENED", None, -4.0),
    ]


def test_a_destination_gets_the_studies_of_the_callers_it_names(
    database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """The study's images say where it came from, each of them; another caller's study goes elsewhere."""
    er = FOLDER.model_copy(update={"name": "er", "callers": ("ER",)})
    ward = FOLDER.model_copy(update={"name": "ward", "callers": (incoming().calling_ae_title,)})
    receive(database, incoming())
    prepare(database)
    score_everything(database, champion, flagged={"2.25.11"})
    state(database, replace(speaker, destinations=(er, ward)).state_finding)
    assert [row[2] for row in outbox(database)] == ["ward"]
