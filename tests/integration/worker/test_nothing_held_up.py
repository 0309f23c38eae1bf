"""What is late or broken holds up nothing else, and nothing overtakes what was said before it."""

import errno
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.studies import MINUTE, NOW, POLICY, flags, incoming, receive, result, say, the_study
from worker.db import Database
from worker.domain import ImageState, Stage
from worker.maintenance import Sweeper
from worker.model.artifact import default_directory, load_card
from worker.preparing import Preparer
from worker.repository.claims import release
from worker.repository.model_versions import RegisteredModel
from worker.repository.outbox import claim_delivery
from worker.service import Service
from worker.stating import Speaker
from worker.tables import Delivery, Image
from worker.tasks.drain import attempt


def test_a_later_result_of_a_study_does_not_overtake_one_that_is_retried(
    database: Database, champion: RegisteredModel
) -> None:
    """A destination never sees the conclusion before the notice that it supersedes; other studies go on."""
    receive(database, incoming(study="2.25.1"), incoming(study="2.25.2"))
    say(database, champion, result("2.25.1", complete=False), stage=Stage.EARLY, to=("pacs",))
    with database.begin() as session:
        work = claim_delivery(session, now=NOW, policy=POLICY)
        assert work is not None
        release(session, Delivery, work.delivery_id, "down", now=NOW, policy=POLICY)
    assert say(database, champion, result("2.25.1"), to=("pacs",))
    say(database, champion, result("2.25.2"), to=("pacs",))
    with database.begin() as session:
        other = claim_delivery(session, now=NOW, policy=POLICY)
        assert other is not None
        assert other.study_instance_uid == "2.25.2"


def test_films_that_keep_coming_do_not_put_the_due_time_off(database: Database) -> None:
    """The due time is that of the first film that was not yet concluded."""
    receive(database, incoming("2.25.11", at=NOW))
    due = the_study(database).due_at
    receive(database, incoming("2.25.12", at=NOW + 10 * MINUTE))
    assert the_study(database).due_at == due


def test_a_study_that_cannot_be_said_holds_up_no_other(
    database: Database,
    champion: RegisteredModel,
    service: Callable[..., Service],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sweep reports the fault of the first study and concludes the second."""
    receive(database, incoming(study="2.25.1"), incoming(study="2.25.2"))
    with database.begin() as session:
        for image in session.query(Image):
            image.state = ImageState.OUT_OF_SCOPE
    conclude = Speaker.state_conclusion

    def broken(self: Speaker, session: Session, study_id: int, now: datetime) -> bool:
        if study_id == 1:
            raise ArithmeticError
        return conclude(self, session, study_id, now)

    monkeypatch.setattr(Speaker, "state_conclusion", broken)
    later = service(study_quiet_seconds=0)
    Sweeper(later, Speaker(champion, (), shadow=False), attempt).sweep()
    assert [flag["study_instance_uid"] for flag in flags(database)] == ["2.25.2"]


@pytest.mark.parametrize(("code", "attempts"), [(errno.EIO, 0), (errno.EACCES, 1), (None, 1)])
def test_a_disk_that_is_away_is_not_held_against_the_images(
    code: int | None,
    attempts: int,
    database: Database,
    service: Callable[..., Service],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fault of the disk costs no attempt; one of the file does, so that it is set aside in the end."""
    receive(database, incoming())
    within = service()
    within.spool.root.mkdir(parents=True, exist_ok=True)

    def broken(_path: Path) -> None:
        raise OSError(code, "broken") if code else OSError("broken")

    monkeypatch.setattr("worker.preparing.read_raw_header", broken)
    assert Preparer(within, load_card(default_directory())).prepare_next()
    with database.read() as session:
        image = session.scalars(select(Image)).one()
    assert (image.state, image.attempts) == (ImageState.RECEIVED, attempts)
    assert image.not_before is not None
