"""A film whose flag a reader withdrew, and which is put back to work; on both kinds of database."""

from sqlalchemy import select

from dicom_io.reasons import Reason
from tests.studies import NOW, frame_score, incoming, prepare, receive, score_everything, state, the_study
from worker.db import Database
from worker.repository.model_versions import RegisteredModel
from worker.repository.quarantine import put_back
from worker.repository.results import lock_study
from worker.repository.scoring import fail_frames, finish_frames
from worker.repository.withdrawals import withdraw_flag
from worker.stating import Speaker
from worker.tables import Image, Score


def test_a_withdrawal_ends_when_a_frame_that_nobody_saw_is_to_be_scored(
    database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """One frame was flagged and the other failed: nobody has seen what that one shows, and once seen it may raise."""
    receive(database, incoming())
    prepare(database, frames=2)
    with database.begin() as session:
        image_id = session.scalars(select(Image.id)).one()
        first, second = session.scalars(select(Score.id).order_by(Score.frame)).all()
        finish_frames(session, [frame_score(first, flagged=True)], model_version_id=champion.id, now=NOW)
        fail_frames(session, [second], Reason.NO_SCORE, NOW)
    state(database, speaker.state_conclusion)
    with database.begin() as session:
        withdraw_flag(session, lock_study(session, the_study(database).id))
        put_back(session, [image_id], NOW, due_at=NOW, by="me@host")
    prepare(database, frames=2)
    score_everything(database, champion, flagged=("2.25.11",))
    assert state(database, speaker.state_finding)
