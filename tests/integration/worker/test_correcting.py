"""A reader withdraws a wrong flag, on both kinds of database."""

from collections.abc import Callable

import pytest
from sqlalchemy import select

from dicom_io.reasons import Reason
from tests.integration.worker.conftest import Wakes
from tests.studies import (
    FOLDER,
    NOW,
    PACS,
    STUDY,
    flags,
    frame_score,
    incoming,
    outbox,
    prepare,
    receive,
    score_everything,
    state,
    the_study,
)
from worker.correcting import Correction, Withdrawal
from worker.db import Database
from worker.domain import ImageState
from worker.errors import WithdrawalError
from worker.queues import Queue
from worker.receipt import Receipt
from worker.repository.model_versions import RegisteredModel
from worker.repository.outbox import claim_delivery, finish_delivery
from worker.repository.scoring import finish_frames
from worker.service import Service
from worker.stating import Speaker
from worker.tables import Event, Image, Score
from worker.triage import WITHDRAWN

Withdraw = Callable[..., Withdrawal]
BuildService = Callable[..., Service]


@pytest.fixture
def withdraw(service: BuildService, speaker: Speaker) -> Withdraw:
    """Call it to withdraw the flag of the only study, or of another one, as Dr. Roe."""
    correction = Correction(service(), speaker, "roe@ward7")

    def call(study: str = STUDY, reason: str = "a skin fold") -> Withdrawal:
        return correction.withdraw(study, reason)

    return call


def screen(database: Database, champion: RegisteredModel, film: str = "2.25.11", *, flagged: bool = True) -> None:
    """Let a film come, be prepared and be scored."""
    receive(database, incoming(film))
    prepare(database, film)
    score_everything(database, champion, flagged={film} if flagged else ())


@pytest.fixture
def flagged_study(database: Database, champion: RegisteredModel, speaker: Speaker) -> None:
    """A study of one flagged film, told early and concluded."""
    screen(database, champion)
    state(database, speaker.state_finding)
    state(database, speaker.state_conclusion)


def events(database: Database, kind: str) -> list[dict[str, object]]:
    """What the events of a kind say."""
    with database.read() as session:
        return list(session.scalars(select(Event.detail).where(Event.kind == kind).order_by(Event.id)))


@pytest.mark.usefixtures("flagged_study")
def test_a_withdrawal_is_a_new_recorded_result(database: Database, withdraw: Withdraw, wakes: Wakes) -> None:
    """It has no priority, names the result before it, and says in words that a reader took the flag back."""
    before = flags(database)[-1]
    said = withdraw()
    last = flags(database)[-1]
    assert (last["result_uid"], last["supersedes"]) == (said.result_uid, before["result_uid"])
    assert (last["priority"], last["priority_reason"], last["finding"]) == (None, None, None)
    assert (last["withdrawn"], last["warnings"], last["status"], last["complete"]) == (
        True,
        [WITHDRAWN],
        "SCREENED",
        True,
    )
    (image,) = last["images"]  # type: ignore[misc]
    assert (image["flagged"], image["withdrawn"]) == (True, True)
    study = the_study(database)
    assert (study.priority, study.priority_reason) == (None, None)
    assert (study.revision, study.concluded_revision) == (2, 2)
    assert wakes.queues == [Queue.DELIVER]


@pytest.mark.usefixtures("flagged_study")
def test_the_readers_words_stay_in_the_audit_trail(database: Database, withdraw: Withdraw) -> None:
    """Who, why and which images are recorded; the reason, which may name a patient, is in no result."""
    said = withdraw(reason="  skin fold of Mrs. Doe ")
    assert events(database, "flag-withdrawn") == [
        {
            "result_uid": said.result_uid,
            "by": "roe@ward7",
            "reason": "skin fold of Mrs. Doe",
            "sop_instance_uids": ["2.25.11"],
        }
    ]
    assert "Doe" not in str(flags(database))


@pytest.mark.usefixtures("flagged_study")
def test_whoever_was_told_of_the_flag_is_told_of_its_withdrawal(database: Database, withdraw: Withdraw) -> None:
    """Folder and PACS both had the flag; both get the withdrawal."""
    assert sorted(withdraw().destinations) == ["flags", "pacs"]
    assert sorted(row[2] for row in outbox(database) if row[0] == "withdrawn") == ["flags", "pacs"]


def test_a_pacs_is_told_of_a_withdrawal_before_the_study_is_complete(
    database: Database, champion: RegisteredModel, speaker: Speaker, withdraw: Withdraw
) -> None:
    """The early flag went out at once; its withdrawal does not wait, and says that the study is still open."""
    receive(database, incoming("2.25.12"))
    screen(database, champion)
    state(database, speaker.state_finding)
    withdraw()
    last = flags(database)[-1]
    assert (last["complete"], last["reason"], the_study(database).concluded_revision) == (False, "pending", 0)
    assert ("withdrawn", 3, "pacs") in [row[:3] for row in outbox(database)]


def test_a_withdrawal_reaches_who_was_told_before_shadow_screening_began(
    service: BuildService, database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """In shadow mode nobody hears of a flag; of the withdrawal of one that went out before, those who got it do."""
    screen(database, champion)
    state(database, speaker.state_finding)
    shadow = Speaker(champion, (FOLDER, PACS), shadow=True)
    assert sorted(Correction(service(), shadow, "roe").withdraw(STUDY, "a fold").destinations) == ["flags", "pacs"]


def test_a_withdrawal_of_what_nobody_was_told_goes_nowhere(
    service: BuildService, database: Database, champion: RegisteredModel
) -> None:
    """A flag of shadow screening is withdrawn in silence."""
    screen(database, champion)
    shadow = Speaker(champion, (FOLDER, PACS), shadow=True)
    state(database, shadow.state_finding)
    assert Correction(service(), shadow, "roe").withdraw(STUDY, "a fold").destinations == []


@pytest.mark.usefixtures("flagged_study")
def test_a_late_film_without_a_flag_does_not_raise_the_study_again(
    database: Database, champion: RegisteredModel, speaker: Speaker, withdraw: Withdraw
) -> None:
    """The new conclusion has no priority, and goes on saying that a reader withdrew the flag."""
    withdraw()
    screen(database, champion, "2.25.12", flagged=False)
    assert not state(database, speaker.state_finding)
    assert state(database, speaker.state_conclusion)
    last = flags(database)[-1]
    assert (last["revision"], last["priority"], last["withdrawn"], last["status"]) == (3, None, True, "SCREENED")
    assert the_study(database).priority is None


@pytest.mark.usefixtures("flagged_study")
def test_a_new_flagged_film_raises_the_study_again_at_once(
    database: Database, champion: RegisteredModel, speaker: Speaker, withdraw: Withdraw
) -> None:
    """No reader has seen it: early flag and conclusion say HIGH, the old film stays marked, and both can go."""
    withdraw()
    screen(database, champion, "2.25.12")
    assert state(database, speaker.state_finding)
    assert state(database, speaker.state_conclusion)
    last = flags(database)[-1]
    assert (last["priority"], last["finding"], last["withdrawn"]) == ("HIGH", "suspected pneumonia", False)
    assert [image["withdrawn"] for image in last["images"]] == [True, False]  # type: ignore[attr-defined]
    withdraw()
    assert the_study(database).priority is None


def test_a_film_of_the_same_revision_that_is_flagged_later_is_told_early(
    database: Database, champion: RegisteredModel, speaker: Speaker, withdraw: Withdraw
) -> None:
    """It came before the withdrawal and was scored after it: the reader cannot have meant it."""
    receive(database, incoming("2.25.12"))
    screen(database, champion)
    state(database, speaker.state_finding)
    withdraw()
    prepare(database, "2.25.12")
    score_everything(database, champion, flagged={"2.25.12"})
    assert state(database, speaker.state_finding)
    assert flags(database)[-1]["priority"] == "HIGH"


def test_the_flag_of_a_film_that_was_replaced_can_be_withdrawn(
    database: Database, champion: RegisteredModel, speaker: Speaker, withdraw: Withdraw
) -> None:
    """HIGH outlived the film; the withdrawal lowers it although no image is left to mark."""
    screen(database, champion)
    state(database, speaker.state_finding)
    receive(database, incoming(content="corrected"))
    prepare(database)
    score_everything(database, champion)
    state(database, speaker.state_conclusion)
    assert flags(database)[-1]["priority"] == "HIGH"
    withdraw()
    last = flags(database)[-1]
    assert (last["priority"], last["withdrawn"], last["warnings"]) == (None, True, [WITHDRAWN])


@pytest.mark.usefixtures("flagged_study")
def test_what_cannot_be_withdrawn_is_one_clear_line(database: Database, withdraw: Withdraw) -> None:
    """An unknown study, an empty or endless reason, and a second withdrawal: each is told, and nothing is said."""
    with pytest.raises(WithdrawalError, match=r"no study 2\.25\.404 was received"):
        withdraw("2.25.404")
    for reason in ("  ", "x" * 501):
        with pytest.raises(WithdrawalError, match="--reason"):
            withdraw(reason=reason)
    withdraw()
    with pytest.raises(WithdrawalError, match="has no flag"):
        withdraw()
    assert len(events(database, "flag-withdrawn")) == 1


def test_a_study_without_a_flag_has_none_to_withdraw(
    database: Database, champion: RegisteredModel, speaker: Speaker, withdraw: Withdraw
) -> None:
    """Screened below the threshold: there is nothing to take back."""
    screen(database, champion, flagged=False)
    state(database, speaker.state_conclusion)
    with pytest.raises(WithdrawalError, match="has no flag"):
        withdraw()
    assert len(flags(database)) == 1


def test_a_film_that_is_flagged_in_part_waits_for_its_other_frames(
    database: Database, champion: RegisteredModel, speaker: Speaker, withdraw: Withdraw
) -> None:
    """Its second frame is not scored yet: marking the film now would hide what that one shows."""
    receive(database, incoming())
    prepare(database, frames=2)
    with database.begin() as session:
        first = session.scalars(select(Score.id).order_by(Score.id)).first()
        assert first is not None
        finish_frames(session, [frame_score(first, flagged=True)], model_version_id=champion.id, now=NOW)
    state(database, speaker.state_finding)
    with pytest.raises(WithdrawalError, match="still to be scored"):
        withdraw()
    assert the_study(database).priority == "HIGH"
    score_everything(database, champion)
    withdraw()
    with database.read() as session:
        assert session.scalars(select(Image.withdrawn)).one()


def test_a_withdrawal_of_a_flag_without_a_readable_image_reaches_the_folder(
    database: Database, champion: RegisteredModel, speaker: Speaker, withdraw: Withdraw
) -> None:
    """The status stands as it stood: a second film that failed keeps the study UNSCREENED."""
    screen(database, champion)
    receive(database, incoming("2.25.12"))
    prepare(database, "2.25.12", state=ImageState.FAILED, reason=Reason.TRUNCATED)
    state(database, speaker.state_finding)
    state(database, speaker.state_conclusion)
    withdraw()
    last = flags(database)[-1]
    assert (last["status"], last["reason"], last["priority"]) == ("UNSCREENED", "incomplete", None)


def test_a_withdrawal_is_never_sent_after_the_flag_that_follows_it(
    service: BuildService, database: Database, champion: RegisteredModel, speaker: Speaker, withdraw: Withdraw
) -> None:
    """Urgent as a flag, it is not overtaken by one: the last that a destination hears is the last that was said."""
    screen(database, champion)
    state(database, speaker.state_finding)
    withdraw()
    screen(database, champion, "2.25.12")
    state(database, speaker.state_finding)
    order = []
    with database.begin() as session:
        while work := claim_delivery(session, now=NOW, policy=service().delivery_policy):
            finish_delivery(session, work, Receipt("taken"), NOW)
            if work.destination == "flags":
                order.append(work.result.flag.withdrawn)
    assert order == [False, True, False]
