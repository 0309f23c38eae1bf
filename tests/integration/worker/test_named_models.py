"""Results name the model that scored, whichever is in service when they are said; on both kinds of database."""

from typing import Any

import pytest
from sqlalchemy import select

from dicom_io.reasons import Reason
from tests.studies import (
    FOLDER,
    MINUTE,
    MODEL,
    NOW,
    flags,
    frame_score,
    incoming,
    outbox,
    prepare,
    put_in_service,
    receive,
    results,
    score_everything,
    state,
)
from worker.db import Database
from worker.domain import ImageState
from worker.repository.model_versions import RegisteredModel
from worker.repository.scoring import fail_frames, finish_frames
from worker.stating import Speaker
from worker.tables import Score

NEWER = MODEL.model_copy(update={"version": "2.0.0", "sha256": "b" * 64})


@pytest.fixture
def newer(database: Database, champion: RegisteredModel) -> RegisteredModel:
    """The model that comes into service after the first one, whose films are scored before."""
    receive(database, incoming(), incoming("2.25.12"))
    prepare(database)
    score_everything(database, champion, flagged={"2.25.11"})
    return put_in_service(database, NEWER)


def models(flag: dict[str, Any]) -> tuple[str, list[str | None]]:
    """The version that a flag names, and those of its images."""
    images = [image["model"] and image["model"]["version"] for image in flag["images"]]
    return flag["model"]["version"], images


def test_a_conclusion_names_the_model_that_scored_and_not_the_one_in_service(
    database: Database, newer: RegisteredModel
) -> None:
    """Every film was scored before the change."""
    prepare(database, "2.25.12", state=ImageState.OUT_OF_SCOPE, reason=Reason.LATERAL_VIEW)
    assert state(database, Speaker(newer, (FOLDER,), shadow=False).state_conclusion)
    (flag,) = flags(database)
    assert (models(flag), flag["warnings"]) == (("1.0.0", [None, None]), [])


def test_a_result_of_two_models_names_the_newest_and_tells_the_other(
    database: Database, champion: RegisteredModel, newer: RegisteredModel
) -> None:
    """The finding is the old model's, the second film the new one's: each is named, and there is a warning."""
    assert state(database, Speaker(champion, (FOLDER,), shadow=False).state_finding)
    prepare(database, "2.25.12")
    score_everything(database, newer, at=NOW + MINUTE)
    assert state(database, Speaker(newer, (FOLDER,), shadow=False).state_conclusion)
    early, complete = flags(database)
    assert models(early) == ("1.0.0", [None, None])
    assert models(complete) == ("2.0.0", ["1.0.0", None])
    assert complete["warnings"] == [f"scored in part by an earlier model: resnet50 1.0.0 ({MODEL.sha256})"]
    assert (complete["priority"], complete["supersedes"]) == ("HIGH", early["result_uid"])
    assert [row.model_version_id for row in results(database)] == [champion.id, newer.id]


def test_a_film_that_was_replaced_names_no_model(database: Database, newer: RegisteredModel) -> None:
    """Its score counts no more; the newer object's does."""
    prepare(database, "2.25.12", state=ImageState.OUT_OF_SCOPE, reason=Reason.LATERAL_VIEW)
    receive(database, incoming(content="corrected"))
    prepare(database)
    score_everything(database, newer, at=NOW - MINUTE)  # whatever the clocks of the hosts say
    assert state(database, Speaker(newer, (FOLDER,), shadow=False).state_conclusion)
    assert models(flags(database)[0]) == ("2.0.0", [None, None])


def test_what_nothing_was_scored_of_is_said_once_across_a_change(database: Database, champion: RegisteredModel) -> None:
    """Two sweeps found the study, and the model changed between their words: one result, for the model of the first."""
    receive(database, incoming())
    overdue = Speaker(champion, (FOLDER,), shadow=False).state_overdue
    assert state(database, overdue)
    late = Speaker(put_in_service(database, NEWER), (FOLDER,), shadow=False)
    assert not state(database, late.state_overdue)
    prepare(database, state=ImageState.FAILED, reason=Reason.TRUNCATED)
    assert state(database, Speaker(champion, (FOLDER,), shadow=False).state_conclusion)
    assert not state(database, late.state_conclusion)
    assert [models(flag)[0] for flag in flags(database)] == ["1.0.0", "1.0.0"]


def test_a_study_is_overdue_once_although_another_model_scored_meanwhile(
    database: Database, newer: RegisteredModel
) -> None:
    """Two sweeps found it; between their words the new model scored one of its films, and one still waits."""
    receive(database, incoming("2.25.13"))
    speaker = Speaker(newer, (FOLDER,), shadow=False)
    assert state(database, speaker.state_overdue)
    prepare(database, "2.25.12")
    score_everything(database, newer, at=NOW + MINUTE)
    assert not state(database, speaker.state_overdue)
    assert [models(flag)[0] for flag in flags(database)] == ["1.0.0"]


def test_a_study_is_concluded_once_although_another_model_answered_late(
    database: Database, newer: RegisteredModel
) -> None:
    """Two sweeps found it; between their words a frame that was given up was answered after all, by the new model."""
    prepare(database, "2.25.12")
    with database.begin() as session:
        late = session.scalars(select(Score.id).where(Score.logit.is_(None))).one()
        fail_frames(session, [late], Reason.ATTEMPTS_EXHAUSTED, NOW)
    speaker = Speaker(newer, (FOLDER,), shadow=False)
    assert state(database, speaker.state_conclusion)
    with database.begin() as session:
        finish_frames(session, [frame_score(late)], model_version_id=newer.id, now=NOW + MINUTE)
    assert not state(database, speaker.state_conclusion)
    assert [(row.stage, row.revision) for row in results(database)] == [("complete", 2)]
    assert len(outbox(database)) == 1
