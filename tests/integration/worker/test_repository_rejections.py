"""Rejection notes, on both kinds of database: applied to what is said afterwards, whatever comes first."""

import pytest
from sqlalchemy import select

from dicom_io.reasons import Reason
from dicom_io.rejection import RejectedObject, Rejection, RejectionNote
from dicom_io.types import SOPInstanceReference
from tests.notes import NOTE
from tests.studies import (
    FOLDER,
    MINUTE,
    MODEL,
    NOW,
    POLICY,
    SECOND,
    STUDY,
    flags,
    incoming,
    outbox,
    prepare,
    put_in_service,
    receive,
    score_everything,
    sha256,
    state,
    study_id,
    the_study,
)
from worker.db import Database
from worker.domain import ImageState
from worker.repository.model_versions import RegisteredModel
from worker.repository.outbox import claim_delivery
from worker.repository.preparation import ImageWork, Preparation, finish_image
from worker.repository.rejections import record_rejection
from worker.repository.results import quiet_studies
from worker.stating import Speaker
from worker.tables import Event, Image, RejectedInstance, Study
from worker.triage import RAISED_BY_REJECTED

FILM = "2.25.11"


def reject(
    database: Database, *films: str, title: Rejection = Rejection.QUALITY, study: str = STUDY, uid: str = NOTE
) -> None:
    """Let a note come that names films of a study."""
    note = RejectionNote(title, tuple(RejectedObject(study, film) for film in films))
    with database.begin() as session:
        record_rejection(session, note, SOPInstanceReference(study, "2.25.50", "1.2", uid), NOW + MINUTE)


def rejections(database: Database) -> list[tuple[str, str | None]]:
    """State of every image, and the title of the note that names it."""
    with database.read() as session:
        rows = session.execute(select(Image.state, Image.rejection).order_by(Image.id))
        return [(row.state, row.rejection) for row in rows]


def screen(database: Database, champion: RegisteredModel, *films: str, flagged: bool = False) -> None:
    """Let films come, be prepared and be scored."""
    receive(database, *(incoming(film) for film in films))
    for film in films:
        prepare(database, film)
    score_everything(database, champion, flagged=films if flagged else ())


def events(database: Database, kind: str) -> list[dict[str, object]]:
    """What the events of a kind say."""
    with database.read() as session:
        return list(session.scalars(select(Event.detail).where(Event.kind == kind).order_by(Event.id)))


def test_a_rejected_film_reopens_its_study_and_is_left_out(
    database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """The next result has a higher revision, names the other film only, and says how many were left out and why."""
    screen(database, champion, FILM, "2.25.12")
    state(database, speaker.state_conclusion)
    reject(database, FILM)
    assert the_study(database).revision == 3
    assert state(database, speaker.state_conclusion)
    last = flags(database)[-1]
    assert [image["sop_instance_uid"] for image in last["images"]] == ["2.25.12"]  # type: ignore[attr-defined]
    assert last["warnings"] == ["images left out: 1 (Rejected for Quality Reasons)"]
    assert last["supersedes"] == flags(database)[0]["result_uid"]


def test_a_study_is_quiet_again_after_its_note(database: Database, champion: RegisteredModel, speaker: Speaker) -> None:
    """The better film often follows the note: the study waits its quiet time before it is said again."""
    screen(database, champion, FILM)
    state(database, speaker.state_conclusion)
    reject(database, FILM)
    with database.read() as session:
        for seconds, found in ((29, 0), (30, 1)):
            now = NOW + MINUTE + seconds * SECOND
            assert len(quiet_studies(session, now=now, quiet=30 * SECOND, limit=9)) == found


def test_a_note_is_recorded_with_ids_and_title_only(database: Database, champion: RegisteredModel) -> None:
    """The audit trail names the note, its title, how many objects it names, and which images were here."""
    screen(database, champion, FILM)
    reject(database, FILM, "2.25.404")
    assert events(database, "rejection-note") == [
        {"sop_instance_uid": NOTE, "rejection": "113001", "objects": 2, "images": 1}
    ]
    assert events(database, "images-rejected") == [
        {"note_sop_instance_uid": NOTE, "rejection": "113001", "sop_instance_uids": [FILM]}
    ]


def test_a_film_of_which_several_objects_came_is_rejected_once(database: Database) -> None:
    """All that came under its UID is out; the audit trail counts one image."""
    receive(database, incoming(), incoming(content="corrected"))
    reject(database, FILM)
    assert [title for _, title in rejections(database)] == ["113001", "113001"]
    assert events(database, "rejection-note")[0]["images"] == 1
    assert events(database, "images-rejected")[0]["sop_instance_uids"] == [FILM]


def test_a_note_of_unknown_objects_opens_no_study(database: Database) -> None:
    """It is kept and recorded, and no study, image or result comes of it; nor of a note that names nothing."""
    reject(database, FILM)
    reject(database, uid="2.25.5002")
    with database.read() as session:
        assert session.scalars(select(Study)).all() == []
        assert session.scalars(select(RejectedInstance.sop_instance_uid)).all() == [FILM]
    assert [event["images"] for event in events(database, "rejection-note")] == [0, 0]


def test_a_note_that_comes_before_its_film_is_applied_to_it(
    database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """The film is marked at its arrival; other films of the study, and the same film of another study, are not."""
    reject(database, FILM)
    receive(database, incoming(), incoming("2.25.12"), incoming(study="2.25.2"))
    assert [title for _, title in rejections(database)] == ["113001", None, None]
    prepare(database, "2.25.12")
    with database.begin() as session:
        first = session.scalars(select(Image).order_by(Image.id)).first()
        assert first is not None
        work = ImageWork(first.id, STUDY, first.content_sha256)
        finish_image(session, work, Preparation(ImageState.FAILED), input_spec_sha256="5" * 64, now=NOW)
    score_everything(database, champion)
    with database.begin() as session:
        assert speaker.state_conclusion(session, study_id(database), NOW)
    (flag,) = flags(database)
    assert [image["sop_instance_uid"] for image in flag["images"]] == ["2.25.12"]  # type: ignore[attr-defined]
    assert flag["status"] == "SCREENED"


def test_a_note_that_comes_at_the_same_moment_is_seen_by_prepare(database: Database, champion: RegisteredModel) -> None:
    """Two listeners each did not see the other's row: preparing the film finds the note."""
    receive(database, incoming())
    with database.begin() as session:
        values = {"note_sop_instance_uid": NOTE, "study_instance_uid": STUDY, "sop_instance_uid": FILM}
        session.add(RejectedInstance(**values, code="113037", received_at=NOW))
    assert prepare(database)
    assert rejections(database) == [("prepared", "113037")]


def test_the_same_note_again_changes_nothing(database: Database, champion: RegisteredModel) -> None:
    """No revision rises, and other bytes that came meanwhile under the film's UID are not taken back."""
    screen(database, champion, FILM)
    reject(database, FILM)
    receive(database, incoming(content="corrected"))
    revision = the_study(database).revision
    reject(database, FILM)
    assert the_study(database).revision == revision
    assert rejections(database) == [("superseded", "113001"), ("received", None)]
    assert len(events(database, "images-rejected")) == 1


def test_other_bytes_after_the_note_are_screened(
    database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """The sender's newer word under the same UID counts: a flag on it raises the study."""
    screen(database, champion, FILM)
    reject(database, FILM, title=Rejection.WORKLIST_ENTRY)
    receive(database, incoming(content="corrected"))
    prepare(database)
    score_everything(database, champion, flagged={FILM})
    assert state(database, speaker.state_finding)
    assert flags(database)[-1]["priority"] == "HIGH"


def test_a_graver_title_takes_the_place_of_a_milder_one_and_never_back(
    database: Database, champion: RegisteredModel
) -> None:
    """Once a film may be of another patient, no later note makes it this patient's again."""
    screen(database, champion, FILM)
    for number, title in enumerate((Rejection.QUALITY, Rejection.PATIENT_SAFETY, Rejection.RETENTION_EXPIRED)):
        reject(database, FILM, title=title, uid=f"2.25.600{number}")
    assert rejections(database) == [("scored", "113037")]
    assert the_study(database).revision == 3


def test_the_gravest_of_several_early_notes_counts(database: Database) -> None:
    """Whatever their order, a film that may be another patient's is marked as such."""
    for number, title in enumerate((Rejection.WORKLIST_ENTRY, Rejection.QUALITY)):
        reject(database, FILM, title=title, uid=f"2.25.600{number}")
    receive(database, incoming())
    assert rejections(database) == [("received", "113038")]


@pytest.mark.parametrize("title", Rejection)
def test_a_priority_outlives_the_rejection_of_its_film(
    database: Database, champion: RegisteredModel, speaker: Speaker, title: Rejection
) -> None:
    """All films rejected: UNSCREENED, reason rejected, no image named; HIGH stays, with a word on what it rests on."""
    screen(database, champion, FILM, flagged=True)
    state(database, speaker.state_finding)
    state(database, speaker.state_conclusion)
    reject(database, FILM, title=title)
    assert state(database, speaker.state_conclusion)
    last = flags(database)[-1]
    assert (last["status"], last["reason"], last["images"]) == ("UNSCREENED", Reason.REJECTED, [])
    assert (last["priority"], the_study(database).priority) == ("HIGH", "HIGH")
    assert RAISED_BY_REJECTED in last["warnings"]  # type: ignore[operator]
    # The PACS holds a report that says HIGH of a film that is gone: it is told, too.
    assert sorted(row[2] for row in outbox(database) if row[1] == 2) == ["flags", "pacs"]


def test_the_model_of_a_rejected_film_is_not_named(database: Database, champion: RegisteredModel) -> None:
    """Nothing that is left was scored: the result names the model in service, not that of the film which is gone."""
    screen(database, champion, FILM)
    reject(database, FILM)
    newer = put_in_service(database, MODEL.model_copy(update={"version": "2.0.0", "sha256": "b" * 64}))
    state(database, Speaker(newer, (FOLDER,), shadow=False).state_conclusion)
    assert flags(database)[-1]["model"] == newer.reference.model_dump()


def test_what_waits_in_the_outbox_still_goes_out(
    database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """The result that named the film was said; its successor follows it."""
    screen(database, champion, FILM, flagged=True)
    state(database, speaker.state_finding)
    reject(database, FILM)
    with database.begin() as session:
        work = claim_delivery(session, now=NOW, policy=POLICY)
    assert work is not None
    assert [image.content_sha256 for image in work.result.flag.images] == [sha256(f"{STUDY} {FILM} first")]
