"""Poison: tried, recorded, set aside, shown and put back, and never in anybody's way; on both kinds of database."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, update

from dicom_io.reasons import Reason
from tests.integration.worker.conftest import Clock
from tests.studies import (
    MINUTE,
    NOW,
    POLICY,
    STUDY,
    flags,
    frame_score,
    incoming,
    prepare,
    receive,
    score_everything,
    sha256,
    state,
    the_study,
)
from worker.db import Database
from worker.domain import ImageState, Urgency
from worker.maintenance import Sweeper
from worker.model.artifact import default_directory, load_card
from worker.preparing import Preparer
from worker.repository.claims import died_in
from worker.repository.model_versions import RegisteredModel
from worker.repository.preparation import (
    FILE_PURGED,
    Preparation,
    claim_image,
    fail_exhausted_images,
    finish_image,
    prepare_again,
)
from worker.repository.quarantine import PutBack, QuarantinedImage, put_back, quarantined
from worker.repository.scoring import claim_frames, fail_frames, finish_frames
from worker.service import Service
from worker.stating import Speaker
from worker.tables import Event, Image, PreparedImage, Score
from worker.tasks.drain import attempt

PATIENT = "Doe^Jane"
POISON, OTHERS = "2.25.66", ("2.25.11", "2.25.12", "2.25.13")


def image(database: Database, film: str = "2.25.11") -> Image:
    """The row of a film."""
    with database.read() as session:
        return session.scalars(select(Image).where(Image.sop_instance_uid == film)).one()


def set_aside(database: Database) -> list[QuarantinedImage]:
    """What is in quarantine."""
    with database.read() as session:
        return quarantined(session)


def retry(database: Database, *image_ids: int) -> PutBack:
    """Put images back to work."""
    with database.begin() as session:
        return put_back(session, image_ids, NOW + MINUTE, due_at=NOW + 31 * MINUTE, by="me@host")


def events(database: Database, kind: str) -> list[dict[str, object]]:
    """The details of every event of a kind."""
    with database.read() as session:
        return [e.detail for e in session.scalars(select(Event).where(Event.kind == kind).order_by(Event.id))]


@pytest.fixture
def preparer(service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch) -> Preparer:
    """Prepares every film as out of scope, but for the poisoned one, on which a library fails with a patient's name."""
    built = Preparer(service(max_attempts=3), load_card(default_directory()))

    def _prepare(self: Preparer, path: Path) -> Preparation:
        if path.stem == sha256(f"{STUDY} {POISON} first"):
            raise ValueError(PATIENT)
        return Preparation(ImageState.OUT_OF_SCOPE, reason=Reason.LATERAL_VIEW)

    monkeypatch.setattr(Preparer, "_prepare", _prepare)
    return built


def test_a_poisoned_film_of_the_highest_urgency_holds_up_nobody(
    database: Database, preparer: Preparer, champion: RegisteredModel, clock: Clock
) -> None:
    """It is tried first, once; then those behind it, and only then it again, until it is set aside."""
    receive(database, incoming(POISON, urgency=Urgency.HIGH), *(incoming(film) for film in OTHERS))
    assert not attempt(preparer.prepare_next)
    assert [attempt(preparer.prepare_next) for _ in range(4)] == [True, True, True, False]
    assert {image(database, film).state for film in OTHERS} == {ImageState.OUT_OF_SCOPE}
    for _ in range(5):
        clock.advance(seconds=400)
        assert not attempt(preparer.prepare_next)
    Sweeper(preparer.service, Speaker(champion, (), shadow=False), attempt).sweep()
    (poisoned,) = set_aside(database)
    assert (poisoned.sop_instance_uid, poisoned.reason, poisoned.attempts) == (POISON, "attempts-exhausted", 3)
    assert (poisoned.calling_ae_title, poisoned.failed_at, poisoned.file) == ("PACS1", clock(), "kept")


def test_what_a_film_failed_with_stands_on_its_row_without_the_patients_name(
    database: Database, preparer: Preparer, champion: RegisteredModel, clock: Clock
) -> None:
    """Kind, places in the code, and every attempt in the audit trail; not a word of what the library said."""
    receive(database, incoming(POISON))
    for _ in range(3):
        assert not attempt(preparer.prepare_next)
        clock.advance(seconds=400)
    Sweeper(preparer.service, Speaker(champion, (), shadow=False), attempt).sweep()
    (poisoned,) = set_aside(database)
    assert poisoned.last_error == "ValueError"
    assert poisoned.traceback is not None
    assert "worker/preparing.py:" in poisoned.traceback
    assert [(e["attempts"], e["error"]) for e in events(database, "image-retry")] == [
        (n, "ValueError") for n in (1, 2, 3)
    ]
    with database.read() as session:
        everything = [str(e.detail) for e in session.scalars(select(Event))]
    assert PATIENT not in f"{poisoned} {everything}"


def test_a_film_is_set_aside_as_soon_as_its_attempts_are_used_up(
    database: Database, preparer: Preparer, champion: RegisteredModel, clock: Clock
) -> None:
    """The delay before an attempt that will not come is not waited for: a study says earlier that it is incomplete."""
    receive(database, incoming(POISON))
    for _ in range(2):
        assert not attempt(preparer.prepare_next)
        clock.advance(seconds=400)
    assert not attempt(preparer.prepare_next)
    Sweeper(preparer.service, Speaker(champion, (), shadow=False), attempt).sweep()
    assert image(database, POISON).state == ImageState.FAILED


def test_a_film_that_killed_its_worker_says_so(database: Database) -> None:
    """Nobody was left to write a traceback: the attempts in which it happened are named, on the row and in events."""
    receive(database, incoming())
    now = NOW
    for _ in range(POLICY.max_attempts):
        with database.begin() as session:
            assert claim_image(session, now=now, policy=POLICY)
        now += POLICY.lease
    with database.begin() as session:
        fail_exhausted_images(session, [image(database).id], now)
    (killer,) = set_aside(database)
    assert (killer.last_error, killer.traceback) == (died_in(3), None)
    assert [e["error"] for e in events(database, "image-retry")] == [died_in(1), died_in(2)]
    assert [e["error"] for e in events(database, "image-failed")] == [died_in(3)]


def test_a_worker_that_died_is_not_blamed_for_the_fault_before_it(database: Database, preparer: Preparer) -> None:
    """The traceback of the first attempt does not stay beside the death in the second."""
    receive(database, incoming(POISON))
    assert not attempt(preparer.prepare_next)
    for later in (10, 20):
        with database.begin() as session:
            assert claim_image(session, now=NOW + later * MINUTE, policy=POLICY)
    assert (image(database, POISON).last_error, image(database, POISON).traceback) == (died_in(2), None)


def test_frames_that_killed_their_worker_say_so(database: Database) -> None:
    """The image that fails shows which frame, and what of it."""
    receive(database, incoming())
    prepare(database, frames=2)
    now = NOW
    for _ in range(POLICY.max_attempts * 2):
        with database.begin() as session:
            claim_frames(session, limit=1, input_spec_sha256="5" * 64, now=now, policy=POLICY)
        now += POLICY.lease
    with database.begin() as session:
        fail_frames(session, [1, 2], Reason.ATTEMPTS_EXHAUSTED, now)
    (killer,) = set_aside(database)
    assert [(f.frame, f.last_error) for f in killer.frames] == [(1, died_in(3)), (2, died_in(3))]
    assert (killer.last_error, killer.attempts) == (died_in(3), 3)
    assert {(e["frame"], e["step"]) for e in events(database, "image-retry")} == {(1, "score"), (2, "score")}


def failed_study(database: Database, champion: RegisteredModel, speaker: Speaker) -> None:
    """A study of two films, one scored, one set aside, of which that was said."""
    receive(database, incoming(), incoming("2.25.12"))
    prepare(database)
    score_everything(database, champion)
    with database.begin() as session:
        fail_exhausted_images(session, [image(database, "2.25.12").id], NOW)
    assert state(database, speaker.state_conclusion)


def test_a_film_that_is_put_back_gives_a_new_result_that_supersedes_the_old_one(
    database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """Fresh attempts, a higher revision, a new due time; the film that was scored keeps its score."""
    failed_study(database, champion, speaker)
    film = image(database, "2.25.12")
    assert retry(database, film.id) == PutBack([film.id], [])
    again = image(database, "2.25.12")
    assert (again.state, again.attempts, again.reason, again.last_error) == (ImageState.RECEIVED, 0, None, None)
    assert (the_study(database).revision, the_study(database).due_at) == (3, NOW + 31 * MINUTE)
    assert prepare(database, "2.25.12")
    score_everything(database, champion)
    assert state(database, speaker.state_conclusion)
    first, second = flags(database)
    assert (first["status"], second["status"]) == ("UNSCREENED", "SCREENED")
    assert (second["supersedes"], second["revision"]) == (first["result_uid"], 3)
    assert [(e["image_id"], e["by"]) for e in events(database, "image-put-back")] == [(film.id, "me@host")]
    assert set_aside(database) == []


def test_what_is_not_set_aside_is_not_put_back(database: Database, champion: RegisteredModel, speaker: Speaker) -> None:
    """A second `retry`, or one of a film that was scored, re-opens nothing."""
    failed_study(database, champion, speaker)
    assert retry(database, image(database).id) == PutBack([], [])
    assert the_study(database).revision == 2


def test_a_film_whose_file_is_gone_stays_where_it_is(
    database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """Until it is sent again: then the same bytes are kept once more, and it can be put back."""
    failed_study(database, champion, speaker)
    with database.begin() as session:
        session.execute(update(Image).values(purged_at=NOW))
    film = image(database, "2.25.12").id
    assert retry(database, film) == PutBack([], [film])
    receive(database, incoming("2.25.12", at=NOW + MINUTE))
    assert (image(database, "2.25.12").purged_at, image(database, "2.25.12").kept_again_at) == (None, NOW + MINUTE)
    assert image(database).purged_at == NOW
    assert retry(database, film) == PutBack([film], [])


def test_damaged_prepared_pixels_are_made_anew(database: Database, champion: RegisteredModel, speaker: Speaker) -> None:
    """They would be kept otherwise, since they are known by content, and fail again."""
    receive(database, incoming())
    prepare(database)
    with database.begin() as session:
        fail_frames(session, [1], Reason.NOT_PREPARED, NOW)
    retry(database, image(database).id)
    with database.read() as session:
        assert session.scalars(select(PreparedImage)).all() == []
        assert session.scalars(select(Score)).all() == []


def test_a_film_whose_frames_all_have_scores_by_then_does_not_stand_still(
    database: Database, champion: RegisteredModel
) -> None:
    """A slow worker answered after the frame was given up: once prepared again there is nothing left to score."""
    receive(database, incoming())
    prepare(database)
    with database.begin() as session:
        fail_frames(session, [1], Reason.ATTEMPTS_EXHAUSTED, NOW)
    with database.begin() as session:
        finish_frames(session, [frame_score(1)], model_version_id=champion.id, now=NOW)
    retry(database, image(database).id)
    assert prepare(database)
    assert image(database).state == ImageState.SCORED


def test_a_film_that_is_to_be_prepared_again_after_its_file_was_purged_fails_with_that_reason(
    database: Database,
) -> None:
    """Another model's input asks for the file; without it nothing is tried, and the cure is named."""
    receive(database, incoming(), incoming("2.25.12"))
    prepare(database)
    prepare(database, "2.25.12")
    with database.begin() as session:
        session.execute(update(Image).where(Image.sop_instance_uid == "2.25.11").values(purged_at=NOW))
    with database.begin() as session:
        prepare_again(session, [1, 2], now=NOW, policy=POLICY)
    assert image(database, "2.25.12").state == ImageState.RECEIVED
    (gone,) = set_aside(database)
    assert (gone.sop_instance_uid, gone.reason, gone.last_error) == ("2.25.11", "not-prepared", FILE_PURGED)


def test_a_step_that_finished_before_its_fault_gives_nothing_back(
    database: Database, service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that fails after the commit does not undo what is done."""
    receive(database, incoming())

    def finish_then_fail(self: Preparer, work: object, preparation: Preparation) -> None:
        del self, preparation
        with database.begin() as session:
            done = Preparation(ImageState.OUT_OF_SCOPE, reason=Reason.LATERAL_VIEW)
            finish_image(session, work, done, input_spec_sha256="5" * 64, now=NOW)  # type: ignore[arg-type]
        raise ArithmeticError

    monkeypatch.setattr(Preparer, "_prepare", lambda *_: Preparation(ImageState.OUT_OF_SCOPE))
    monkeypatch.setattr(Preparer, "_finish", finish_then_fail)
    assert not attempt(Preparer(service(), load_card(default_directory())).prepare_next)
    assert (image(database).state, image(database).last_error) == (ImageState.OUT_OF_SCOPE, None)
    assert events(database, "image-retry") == []
