"""What is said of a study, when, and how often, on both kinds of database."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from dicom_io.reasons import Reason
from tests.studies import (
    MINUTE,
    MODEL,
    NOW,
    SECOND,
    incoming,
    prepare,
    put_in_service,
    receive,
    result,
    rolled_back,
    say,
    score_everything,
    study_id,
)
from worker.db import Database
from worker.domain import ImageState, Stage
from worker.repository.model_versions import Champion
from worker.repository.results import overdue_studies, quiet_studies
from worker.settings import DicomDestination, FolderDestination
from worker.stating import Speaker
from worker.tables import Delivery, Event, ModelVersion, Result, Score, Study

QUIET = 30 * SECOND
FOLDER = FolderDestination(kind="folder", name="flags", path="flags")  # type: ignore[arg-type]
PACS = DicomDestination(kind="dicom", name="pacs", ae_title="PACS", host="127.0.0.1", port=104)


@pytest.fixture
def speaker(champion: Champion) -> Speaker:
    """Speaks for the model in service, to a folder and a PACS."""
    return Speaker(champion, (FOLDER, PACS), shadow=False)


def results(database: Database) -> Sequence[Result]:
    """All results in the order they were said."""
    with database.read() as session:
        return session.scalars(select(Result).order_by(Result.id)).all()


def flags(database: Database) -> list[dict[str, object]]:
    """Their JSON flags."""
    return [json.loads(result.flag) for result in results(database)]


def outbox(database: Database) -> list[tuple[str, int, str, int]]:
    """Stage, revision, destination and urgency of every delivery."""
    with database.read() as session:
        rows = session.execute(
            select(Result.stage, Result.revision, Delivery.destination, Delivery.urgency)
            .join(Delivery)
            .order_by(Delivery.id)
        )
        return [tuple(row) for row in rows]


def the_study(database: Database) -> Study:
    """The only study."""
    with database.read() as session:
        return session.scalars(select(Study)).one()


def state(database: Database, how: Callable[..., bool]) -> bool:
    """Let the speaker speak of the only study, in a transaction of its own."""
    with database.begin() as session:
        return how(session, study_id(database), NOW)


def quiet(database: Database, after: float) -> Sequence[int]:
    """The studies that can be concluded so many seconds after the first film."""
    with database.read() as session:
        return quiet_studies(session, now=NOW + after * SECOND, quiet=QUIET, limit=10)


def overdue(database: Database, after: float) -> Sequence[int]:
    """The studies that are overdue so many minutes after the first film."""
    with database.read() as session:
        return overdue_studies(session, now=NOW + after * MINUTE, limit=10)


def test_a_study_is_concluded_when_it_is_quiet_and_every_image_is_terminal(
    database: Database, champion: Champion
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
    database: Database, champion: Champion, speaker: Speaker
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
    database: Database, champion: Champion, speaker: Speaker
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


def test_a_finding_is_told_at_once_and_once(database: Database, champion: Champion, speaker: Speaker) -> None:
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


def test_a_study_that_is_raised_is_not_raised_again(database: Database, champion: Champion, speaker: Speaker) -> None:
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


def test_no_result_lowers_a_priority(database: Database, champion: Champion) -> None:
    """Whatever is appended without a priority leaves the study's where it is."""
    receive(database, incoming())
    say(database, champion, result(flagged=True), stage=Stage.EARLY)
    say(database, champion, result(flagged=False))
    assert (the_study(database).priority, the_study(database).priority_reason) == ("HIGH", "finding")


def test_nothing_flagged_is_not_told_early(database: Database, champion: Champion, speaker: Speaker) -> None:
    """A film below the threshold says nothing before the study is complete."""
    receive(database, incoming(), incoming("2.25.12"))
    prepare(database)
    score_everything(database, champion)
    assert not state(database, speaker.state_finding)
    assert results(database) == []


def test_a_priority_outlives_the_film_that_raised_it(database: Database, champion: Champion, speaker: Speaker) -> None:
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


def test_each_stage_of_each_revision_is_a_result_of_its_own(database: Database, champion: Champion) -> None:
    """The unique key is study, revision, model and stage: whatever differs in one of them is another result."""
    said = []
    for film in ("2.25.11", "2.25.12"):
        receive(database, incoming(film), incoming(film, study="2.25.2"))
        for study in ("2.25.1", "2.25.2", "2.25.1", "2.25.2"):
            said += [say(database, champion, result(study), stage=stage) for stage in Stage]
    assert said == 2 * (6 * [True] + 6 * [False])
    assert len(results(database)) == len(outbox(database)) == 12
    with database.begin() as session:
        session.scalars(select(ModelVersion)).one().champion = False
    successor = put_in_service(database, MODEL.model_copy(update={"version": "2.0.0", "sha256": "b" * 64}))
    assert say(database, successor, result())


def test_flagged_results_leave_before_the_others(database: Database, champion: Champion) -> None:
    """The urgency of a delivery is that of what it says."""
    receive(database, incoming(), incoming(study="2.25.2"))
    say(database, champion, result("2.25.1"))
    say(database, champion, result("2.25.2", flagged=True))
    assert [row[3] for row in outbox(database)] == [20, 30]


def test_a_pacs_is_not_told_of_a_study_without_a_chest(database: Database, speaker: Speaker) -> None:
    """A hip's result goes to the folder only."""
    receive(database, incoming())
    prepare(database, state=ImageState.OUT_OF_SCOPE, reason=Reason.WRONG_BODY_PART)
    state(database, speaker.state_conclusion)
    assert [row[2] for row in outbox(database)] == ["flags"]


def test_shadow_screening_stores_and_sends_nothing(database: Database, champion: Champion) -> None:
    """The result is there, its origin says why, and the outbox is empty."""
    receive(database, incoming())
    prepare(database)
    score_everything(database, champion, flagged={"2.25.11"})
    assert state(database, Speaker(champion, (FOLDER, PACS), shadow=True).state_finding)
    assert flags(database)[0]["origin"] == "shadow"
    assert outbox(database) == []


def test_a_synthetic_study_is_sent_nowhere(database: Database, speaker: Speaker) -> None:
    """The service's own test film reaches no PACS and no folder."""
    receive(database, incoming())
    prepare(database, state=ImageState.FAILED, reason=Reason.TRUNCATED)
    with database.begin() as session:
        session.scalars(select(Study)).one().synthetic = True
    assert state(database, speaker.state_conclusion)
    assert outbox(database) == []


def test_a_result_that_is_rolled_back_was_never_said(database: Database, champion: Champion) -> None:
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
    database: Database, champion: Champion, speaker: Speaker
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
