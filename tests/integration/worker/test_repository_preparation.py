"""What prepare and score write, on both kinds of database: once, whatever the messages do."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from sqlalchemy import select

from dicom_io.reasons import Reason
from tests.studies import (
    INPUT_SPEC,
    MINUTE,
    NOW,
    POLICY,
    STUDY,
    frame_score,
    incoming,
    prepare,
    receive,
    score_everything,
    sha256,
)
from worker.db import Database
from worker.domain import ImageState, Urgency
from worker.repository.claims import exhausted
from worker.repository.model_versions import RegisteredModel
from worker.repository.preparation import (
    ImageWork,
    Preparation,
    claim_image,
    fail_exhausted_images,
    finish_image,
)
from worker.repository.scoring import FrameWork, claim_frames, fail_frames, finish_frames
from worker.tables import Event, Image, PreparedImage, Score


def image(database: Database) -> Image:
    """The only image."""
    with database.read() as session:
        return session.scalars(select(Image)).one()


def scores(database: Database) -> Sequence[Score]:
    """All frames, scored or not."""
    with database.read() as session:
        return session.scalars(select(Score).order_by(Score.id)).all()


def claim_next(database: Database, *, input_spec: str = INPUT_SPEC, limit: int = 10) -> list[FrameWork]:
    """Claim frames in a transaction of its own."""
    with database.begin() as session:
        return claim_frames(session, limit=limit, input_spec_sha256=input_spec, now=NOW, policy=POLICY)


def finish(database: Database, champion: RegisteredModel, *score_ids: int, flagged: bool = False) -> None:
    """Write frames' scores in a transaction of its own."""
    with database.begin() as session:
        done = [frame_score(score_id, flagged=flagged) for score_id in score_ids]
        finish_frames(session, done, model_version_id=champion.id, now=NOW)


def test_the_work_names_what_to_prepare(database: Database) -> None:
    """The claim hands over the row, its study for the log, and the content for the spool; then there is nothing."""
    receive(database, incoming())
    with database.begin() as session:
        work = claim_image(session, now=NOW, policy=POLICY)
    assert work == ImageWork(image(database).id, STUDY, sha256(f"{STUDY} 2.25.11 first"))
    with database.begin() as session:
        assert claim_image(session, now=NOW, policy=POLICY) is None


def test_prepared_frames_become_work_of_the_same_urgency(database: Database) -> None:
    """One row of pixels and one of work per frame, numbered from 1; the image waits for its scores."""
    receive(database, incoming(urgency=Urgency.HIGH))
    assert prepare(database, frames=2)
    assert (image(database).state, image(database).lease_until) == (ImageState.PREPARED, None)
    assert image(database).header == b"header"
    assert [(s.frame, s.urgency, s.logit, s.scored_at) for s in scores(database)] == [
        (1, 30, None, None),
        (2, 30, None, None),
    ]
    work = claim_next(database)
    assert [frame.pixels for frame in work] == [b"\x00", b"\x01"]


def test_finishing_twice_changes_nothing(database: Database) -> None:
    """A worker whose lease ran out comes second: no second frame, no other state, no second event."""
    receive(database, incoming())
    assert prepare(database)
    assert not prepare(database, frames=2)
    assert not prepare(database, state=ImageState.FAILED, reason=Reason.TRUNCATED)
    assert (image(database).state, image(database).reason, len(scores(database))) == (ImageState.PREPARED, None, 1)
    with database.read() as session:
        assert [e.kind for e in session.scalars(select(Event).order_by(Event.id))] == [
            "image-received",
            "image-prepared",
        ]


def test_a_replaced_image_is_not_finished(database: Database) -> None:
    """What was prepared of an object that a newer one replaced meanwhile is thrown away."""
    receive(database, incoming())
    with database.begin() as session:
        work = claim_image(session, now=NOW, policy=POLICY)
    receive(database, incoming(content="corrected"))
    assert work is not None
    with database.begin() as session:
        preparation = Preparation(ImageState.PREPARED, frames=(b"x",))
        assert not finish_image(session, work, preparation, input_spec_sha256=INPUT_SPEC, now=NOW)
    assert scores(database) == []


def test_the_same_content_in_two_studies_is_stored_once(database: Database) -> None:
    """Pixels are keyed by content; the work is of each image."""
    first = incoming("2.25.11")
    receive(database, first)
    prepare(database, "2.25.11")
    with database.begin() as session:
        session.scalars(select(Image)).one().content_sha256 = "c" * 64
        session.scalars(select(Score)).one().content_sha256 = "c" * 64
        session.delete(session.scalars(select(PreparedImage)).one())
    receive(database, incoming("2.25.12", study="2.25.2"))
    for film in ("2.25.12", "2.25.12"):
        with database.begin() as session:
            work = ImageWork(
                session.scalars(select(Image.id).where(Image.sop_instance_uid == film)).one(), "2.25.2", "c" * 64
            )
            preparation = Preparation(ImageState.PREPARED, frames=(b"x",))
            finish_image(session, work, preparation, input_spec_sha256=INPUT_SPEC, now=NOW)
    with database.read() as session:
        assert session.query(PreparedImage).count() == 1
    assert len(scores(database)) == 2


@pytest.mark.parametrize(
    ("state", "reason"), [(ImageState.OUT_OF_SCOPE, Reason.LATERAL_VIEW), (ImageState.FAILED, Reason.TRUNCATED)]
)
def test_what_is_not_prepared_says_why_and_makes_no_work(database: Database, state: ImageState, reason: Reason) -> None:
    """State and reason stand on the row and in the audit trail."""
    receive(database, incoming())
    assert prepare(database, state=state, reason=reason)
    assert (image(database).state, image(database).reason) == (state, reason)
    assert scores(database) == []
    with database.read() as session:
        event = session.scalars(select(Event).where(Event.kind == f"image-{state}")).one()
    assert event.detail == {"image_id": image(database).id, "reason": reason}


def test_an_image_that_uses_up_its_attempts_is_set_aside(database: Database) -> None:
    """Work that kills its worker every time ends as failed with its own reason, so that the study can be concluded."""
    receive(database, incoming())
    now = NOW
    for _ in range(POLICY.max_attempts):
        with database.begin() as session:
            assert claim_image(session, now=now, policy=POLICY)
        now += POLICY.lease
    with database.begin() as session:
        fail_exhausted_images(session, exhausted(session, Image, now=now, policy=POLICY), now)
    assert (image(database).state, image(database).reason) == (ImageState.FAILED, Reason.ATTEMPTS_EXHAUSTED)


@pytest.mark.parametrize("state", [ImageState.PREPARED, ImageState.SUPERSEDED])
def test_an_image_that_moved_on_is_not_set_aside(database: Database, state: ImageState) -> None:
    """Between the look for exhausted images and the write a slow worker may finish, or a newer object come."""
    receive(database, incoming())
    with database.begin() as session:
        session.scalars(select(Image)).one().state = state
    with database.begin() as session:
        fail_exhausted_images(session, [image(database).id], NOW)
    assert (image(database).state, image(database).reason) == (state, None)


def test_an_image_is_scored_when_its_every_frame_is(database: Database, champion: RegisteredModel) -> None:
    """After the first of two frames it is still on its way."""
    receive(database, incoming())
    prepare(database, frames=2)
    first, second = scores(database)
    finish(database, champion, first.id)
    assert image(database).state == ImageState.PREPARED
    finish(database, champion, second.id, flagged=True)
    assert image(database).state == ImageState.SCORED
    assert [(s.flagged, s.model_version_id, s.scored_at) for s in scores(database)] == [
        (False, champion.id, NOW),
        (True, champion.id, NOW),
    ]


def test_scoring_twice_keeps_the_first_answer(database: Database, champion: RegisteredModel) -> None:
    """The second of two workers with the same frame changes no number."""
    receive(database, incoming())
    prepare(database)
    (frame,) = scores(database)
    finish(database, champion, frame.id, flagged=True)
    finish(database, champion, frame.id, flagged=False)
    (scored,) = scores(database)
    assert (scored.flagged, scored.logit, image(database).state) == (True, 2.5, ImageState.SCORED)


def test_two_workers_that_score_the_frames_of_one_image_at_once_finish_it(
    database: Database, champion: RegisteredModel
) -> None:
    """Neither sees the other's frame before its commit, and yet one of them must move the image on."""
    receive(database, incoming())
    prepare(database, frames=2)
    first, second = scores(database)
    with ThreadPoolExecutor(1) as thread:
        with database.begin() as session:
            finish_frames(session, [frame_score(first.id)], model_version_id=champion.id, now=NOW)
            other = thread.submit(finish, database, champion, second.id)
            wait([other], timeout=0.3)
        other.result(timeout=20)
    assert image(database).state == ImageState.SCORED


def test_a_scored_frame_does_not_wake_a_replaced_image(database: Database, champion: RegisteredModel) -> None:
    """The older object stays superseded, also when its last frame is scored late."""
    receive(database, incoming())
    prepare(database)
    receive(database, incoming(content="corrected"))
    score_everything(database, champion)
    with database.read() as session:
        assert session.scalars(select(Image.state).order_by(Image.id)).all() == ["superseded", "received"]


def test_frames_without_pixels_of_the_models_size_are_handed_out_as_such(database: Database) -> None:
    """A model of another input spec is told that nothing is prepared for it, instead of being given other pixels."""
    receive(database, incoming())
    prepare(database)
    (work,) = claim_next(database, input_spec="6" * 64)
    assert work.pixels is None


def test_a_frame_that_cannot_be_scored_does_not_keep_the_others_from_it(
    database: Database, champion: RegisteredModel
) -> None:
    """The others may hold the finding: they are scored, and then the image fails with the reason."""
    receive(database, incoming())
    prepare(database, frames=3)
    first, second, third = scores(database)
    finish(database, champion, first.id)
    with database.begin() as session:
        fail_frames(session, [second.id], Reason.NOT_PREPARED, NOW + MINUTE)
    assert image(database).state == ImageState.PREPARED
    assert [frame.score_id for frame in claim_next(database)] == [third.id]
    finish(database, champion, third.id, flagged=True)
    assert (image(database).state, image(database).reason) == (ImageState.FAILED, Reason.NOT_PREPARED)
    assert [(s.scored_at, s.flagged) for s in scores(database)] == [(NOW, False), (NOW + MINUTE, False), (NOW, True)]
    with database.read() as session:
        failed = session.scalars(select(Event).where(Event.kind == "image-failed")).one()
    assert failed.detail["reason"] == Reason.NOT_PREPARED


def test_an_answer_that_comes_after_its_frame_was_given_up_is_kept(
    database: Database, champion: RegisteredModel
) -> None:
    """The image stays failed, but a finding of a slow worker is one all the same."""
    receive(database, incoming())
    prepare(database)
    (only,) = scores(database)
    with database.begin() as session:
        fail_frames(session, [only.id], Reason.ATTEMPTS_EXHAUSTED, NOW)
    finish(database, champion, only.id, flagged=True)
    assert (image(database).state, image(database).reason) == (ImageState.FAILED, Reason.ATTEMPTS_EXHAUSTED)
    assert [s.flagged for s in scores(database)] == [True]


@pytest.mark.parametrize("state", [ImageState.SCORED, ImageState.SUPERSEDED])
def test_failing_frames_moves_no_image_that_is_done(database: Database, state: ImageState) -> None:
    """Only an image that waits for its scores can fail for want of them."""
    receive(database, incoming())
    prepare(database)
    with database.begin() as session:
        session.scalars(select(Image)).one().state = state
    with database.begin() as session:
        fail_frames(session, [scores(database)[0].id], Reason.NOT_PREPARED, NOW)
    assert (image(database).state, image(database).reason) == (state, None)
