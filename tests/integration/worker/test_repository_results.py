"""What is said of a study, when, and how often, on both kinds of database."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from dicom_io.reasons import Reason
from tests.plans import plans
from tests.studies import (
    MINUTE,
    MODEL,
    NOW,
    SECOND,
    flags,
    frame_score,
    incoming,
    outbox,
    prepare,
    put_in_service,
    receive,
    result,
    results,
    say,
    score_everything,
    state,
    study_id,
    the_study,
)
from worker.db import Database
from worker.domain import ImageState, Stage
from worker.repository.model_versions import RegisteredModel
from worker.repository.results import overdue_studies, quiet_studies
from worker.repository.scoring import fail_frames, finish_frames
from worker.stating import Speaker
from worker.tables import Event, ModelVersion, Score

QUIET = 30 * SECOND


def quiet(database: Database, after: float) -> Sequence[int]:
    """The studies that can be concluded so many seconds after the first film."""
    with database.read() as session:
        return quiet_studies(session, now=NOW + after * SECOND, quiet=QUIET, limit=10)


def overdue(database: Database, after: float) -> Sequence[int]:
    """The studies that are overdue so many minutes after the first film."""
    with database.read() as session:
        return overdue_studies(session, now=NOW + after * MINUTE, limit=10)


@pytest.mark.parametrize("find", [quiet, overdue])
def test_the_sweep_never_reads_all_images(
    database: Database, champion: RegisteredModel, find: Callable[[Database, float], Sequence[int]]
) -> None:
    """It looks for those at work every second, among those of years: by an index that holds only them."""
    receive(database, incoming(), incoming(study="2.25.2"))
    (plan,) = plans(database, lambda: find(database, 99), of="FROM studies")
    assert "ix_images_working" in plan or "SEARCH images USING INDEX ix_images_study (study_id=?)" in plan


def test_a_study_is_concluded_when_it_is_quiet_and_every_image_is_terminal(
    database: Database, champion: RegisteredModel
) -> None:
    """Not while something is to be prepared or scored, and not before it was quiet long enough."""
    receive(database, incoming())
    assert quiet(database, after=99) == []
    prepare(database)
    assert quiet(database, after=99) == []
    score_everything(database, champion)
    assert quiet(database, after=29) == []
    assert quiet(database, after=30) == [study_id(database)]


def test_quiet_is_counted_from_the_last_film(database: Database) -> None:
    """A second film begins the silence anew; its duplicate does not."""
    later = incoming("2.25.12", at=NOW + 20 * SECOND)
    receive(database, incoming(), later, incoming("2.25.12", at=NOW + 40 * SECOND))
    for film in ("2.25.11", "2.25.12"):
        prepare(database, film, state=ImageState.FAILED, reason=Reason.TRUNCATED)
    assert quiet(database, after=49) == []
    assert quiet(database, after=50) == [study_id(database)]


def test_quiet_is_over_when_the_clock_was_set_back(database: Database) -> None:
    """Nothing arrives in the future: a study that says so is not held up for as long as the clock was set back."""
    receive(database, incoming())
    prepare(database, state=ImageState.FAILED, reason=Reason.TRUNCATED)
    assert quiet(database, after=-30) == []
    assert quiet(database, after=-3600) == [study_id(database)]


def test_a_concluded_study_is_not_concluded_again_until_it_changes(database: Database, speaker: Speaker) -> None:
    """Once per revision; a late film asks for another conclusion."""
    receive(database, incoming())
    prepare(database, state=ImageState.FAILED, reason=Reason.TRUNCATED)
    assert state(database, speaker.state_conclusion)
    assert quiet(database, after=60) == []
    receive(database, incoming("2.25.12"))
    prepare(database, "2.25.12", state=ImageState.OUT_OF_SCOPE, reason=Reason.LATERAL_VIEW)
    assert quiet(database, after=60) == [study_id(database)]
    assert state(database, speaker.state_conclusion)
    assert [(r.revision, r.stage) for r in results(database)] == [(1, "complete"), (2, "complete")]


def test_a_study_is_overdue_once_per_revision_while_work_is_left(database: Database, speaker: Speaker) -> None:
    """Said at the due time and not again; a study whose every image is terminal is quiet, not overdue."""
    receive(database, incoming())
    assert overdue(database, after=29) == []
    assert overdue(database, after=30) == [study_id(database)]
    assert state(database, speaker.state_overdue)
    assert overdue(database, after=31) == []
    assert (the_study(database).status, the_study(database).reason) == ("UNSCREENED", "overdue")
    assert the_study(database).concluded_revision == 0
    receive(database, incoming("2.25.12"))
    assert overdue(database, after=31) == [study_id(database)]
    prepare(database, "2.25.12", state=ImageState.FAILED, reason=Reason.TRUNCATED)
    prepare(database, state=ImageState.FAILED, reason=Reason.TRUNCATED)
    assert overdue(database, after=99) == []


def test_a_study_that_was_just_finished_is_not_said_to_be_overdue(
    database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """The last image was scored between the search and the lock; "overdue" would be the last word on the study."""
    receive(database, incoming())
    assert overdue(database, after=30) == [study_id(database)]
    prepare(database)
    score_everything(database, champion)
    assert state(database, speaker.state_conclusion)
    assert not state(database, speaker.state_overdue)
    assert (the_study(database).status, the_study(database).reason) == ("SCREENED", None)


def test_an_overdue_study_is_superseded_when_it_is_done(
    database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """The later result names the earlier one, and the study says what the later one says."""
    receive(database, incoming())
    state(database, speaker.state_overdue)
    prepare(database)
    score_everything(database, champion)
    assert state(database, speaker.state_conclusion)
    late, done = flags(database)
    assert (late["reason"], late["complete"], late["supersedes"]) == ("overdue", False, None)
    assert (done["status"], done["complete"], done["supersedes"]) == ("SCREENED", True, late["result_uid"])
    assert (the_study(database).status, the_study(database).reason) == ("SCREENED", None)


def test_no_result_lowers_a_priority(database: Database, champion: RegisteredModel) -> None:
    """Whatever is appended without a priority leaves the study's where it is."""
    receive(database, incoming())
    say(database, champion, result(flagged=True), stage=Stage.EARLY)
    say(database, champion, result(flagged=False))
    assert (the_study(database).priority, the_study(database).priority_reason) == ("HIGH", "finding")


def test_a_study_with_work_left_is_not_concluded(database: Database, speaker: Speaker) -> None:
    """A film that came between the search and the lock waits for its own conclusion."""
    receive(database, incoming())
    assert not state(database, speaker.state_conclusion)
    assert results(database) == []


def test_doubled_calls_say_a_thing_once(database: Database, speaker: Speaker) -> None:
    """Eight sweeps at once append one result with one set of deliveries."""
    receive(database, incoming())
    prepare(database, state=ImageState.FAILED, reason=Reason.TRUNCATED)
    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(lambda _: state(database, speaker.state_conclusion), range(8)))
    assert sorted(told) == [False] * 7 + [True]
    assert [row[:3] for row in outbox(database)] == [("complete", 1, "flags"), ("complete", 1, "pacs")]
    with database.read() as session:
        assert len(session.scalars(select(Event).where(Event.kind == "result")).all()) == 1


def test_each_stage_of_each_revision_is_a_result_of_its_own(database: Database, champion: RegisteredModel) -> None:
    """The unique key is study, revision, model and stage: whatever differs in one of them is another result."""
    said = []
    for film in ("2.25.11", "2.25.12"):
        receive(database, incoming(film), incoming(film, study="2.25.2"))
        for study in ("2.25.1", "2.25.2", "2.25.1", "2.25.2"):
            said += [say(database, champion, result(study), stage=stage) for stage in Stage]
    once = 2 * len(Stage)  # for two studies
    assert said == 2 * (once * [True] + once * [False])
    assert len(results(database)) == len(outbox(database)) == 2 * once
    with database.begin() as session:
        session.scalars(select(ModelVersion)).one().champion = False
    successor = put_in_service(database, MODEL.model_copy(update={"version": "2.0.0", "sha256": "b" * 64}))
    assert say(database, successor, result())


def test_flagged_results_leave_before_the_others(database: Database, champion: RegisteredModel) -> None:
    """The urgency of a delivery is that of what it says."""
    receive(database, incoming(), incoming(study="2.25.2"))
    say(database, champion, result("2.25.1"))
    say(database, champion, result("2.25.2", flagged=True))
    assert [row[3] for row in outbox(database)] == [20, 30]


def test_a_flag_names_every_frame_also_those_without_an_answer(
    database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """What is not scored yet is pending, and what failed says why; neither is left out beside a scored frame."""
    receive(database, incoming())
    prepare(database, frames=2)
    with database.begin() as session:
        first, second = session.scalars(select(Score.id).order_by(Score.id)).all()
        finish_frames(session, [frame_score(first, flagged=True)], model_version_id=champion.id, now=NOW)
    assert state(database, speaker.state_finding)
    with database.begin() as session:
        fail_frames(session, [second], Reason.NO_SCORE, NOW)
    assert state(database, speaker.state_conclusion)
    frames = [[(image["frame"], image["reason"]) for image in flag["images"]] for flag in flags(database)]  # type: ignore[attr-defined]
    assert frames == [[(1, None), (2, "pending")], [(1, None), (2, "no-score")]]
