"""What the shadow report counts, on both kinds of database."""

import time
from datetime import timedelta

import pytest
from sqlalchemy import insert, text, update

from tests.studies import MINUTE, NOW, STUDY, incoming, receive, result, say
from worker.db import Database
from worker.domain import Origin, ScreeningStatus, Stage, UserRole, VerdictWord
from worker.repository.model_versions import RegisteredModel
from worker.repository.shadow import Answer, ReadStudy, read_studies
from worker.shadow_report.making import make_report
from worker.tables import Image, Result, Study
from worker.web_tables import ReaderVerdict, User

AGREES, DISAGREES = VerdictWord.AGREES, VerdictWord.DISAGREES
DAY = timedelta(days=1)


def judge(
    database: Database,
    verdict: VerdictWord,
    *,
    flagged: bool,
    reader: str = "ann",
    study: int = 1,
    revision: int = 1,
) -> None:
    """Let a reader say something of a study that was flagged then, or was not."""
    with database.begin() as session:
        session.add(
            ReaderVerdict(
                study_id=study, revision=revision, reader=reader, verdict=verdict, flagged=flagged, said_at=NOW
            )
        )


def answer(
    database: Database,
    champion: RegisteredModel,
    *,
    flagged: bool,
    revision: int = 1,
    stage: Stage = Stage.COMPLETE,
    **values: object,
) -> None:
    """Say something of the study in shadow mode."""
    flag = result(revision=revision, flagged=flagged).model_copy(update={"origin": Origin.SHADOW, **values})
    assert say(database, champion, flag, stage=stage, to=())


def found(database: Database) -> list[ReadStudy]:
    """The studies of the two days around the clock's."""
    with database.read() as session:
        return list(read_studies(session, NOW - DAY, NOW + DAY))


def the_one(database: Database) -> ReadStudy:
    """The only study."""
    [study] = found(database)
    return study


@pytest.fixture
def received(database: Database, champion: RegisteredModel) -> Database:
    """A study of one film, of which nothing was said."""
    receive(database, incoming())
    return database


@pytest.mark.parametrize(
    ("flagged", "verdict", "suspected"),
    [(True, AGREES, True), (True, DISAGREES, False), (False, AGREES, False), (False, DISAGREES, True)],
)
def test_a_verdict_is_a_suspicion_by_what_it_answers(
    received: Database, champion: RegisteredModel, *, flagged: bool, verdict: VerdictWord, suspected: bool
) -> None:
    """Who agrees with a flag, or disagrees with its absence, suspects pneumonia."""
    answer(received, champion, flagged=flagged)
    judge(received, verdict, flagged=flagged)
    study = the_one(received)
    assert (study.suspected, study.blind, study.sender) == ((suspected,), True, "PACS1")
    assert study.answer == Answer(flagged=flagged, screened=True, shadow=True, model="resnet50 1.0.0")


def test_a_verdict_may_come_before_the_answer(received: Database, champion: RegisteredModel) -> None:
    """A reader who was faster judged the films: what is said of them later is compared."""
    judge(received, AGREES, flagged=False)
    assert (the_one(received).answer, the_one(received).suspected) == (None, (False,))
    answer(received, champion, flagged=True)
    assert the_one(received).answer == Answer(flagged=True, screened=True, shadow=True, model="resnet50 1.0.0")
    assert the_one(received).suspected == (False,)


def test_the_newest_word_of_each_reader_counts(received: Database, champion: RegisteredModel) -> None:
    """Two readers who do not agree are both there; who says the same again is still blind, who turns round is not."""
    answer(received, champion, flagged=True)
    judge(received, AGREES, flagged=True)
    judge(received, AGREES, flagged=True)
    judge(received, DISAGREES, flagged=True, reader="bob")
    assert (the_one(received).suspected, the_one(received).blind) == ((True, False), True)
    judge(received, DISAGREES, flagged=True)
    assert (the_one(received).suspected, the_one(received).blind) == ((False, False), False)


def test_who_sees_flags_is_not_blind(received: Database, champion: RegisteredModel) -> None:
    """An administrator's verdict, and one on a study whose flag was sent, are kept apart."""
    answer(received, champion, flagged=True)
    judge(received, AGREES, flagged=True, reader="root")
    assert the_one(received).blind
    with received.begin() as session:
        session.add(User(name="root", role=UserRole.ADMIN, created_at=NOW))
    assert not the_one(received).blind


def test_a_flag_that_was_sent_was_no_secret(received: Database, champion: RegisteredModel) -> None:
    """The answer says in which mode it was given, whatever the settings say today."""
    answer(received, champion, flagged=True, origin=Origin.LIVE)
    assert the_one(received).blind  # nobody judged it
    judge(received, AGREES, flagged=True)
    assert not the_one(received).blind


def test_what_was_said_of_the_judged_revision_counts(received: Database, champion: RegisteredModel) -> None:
    """A later film that raises the study changes nothing: the reader had not seen it."""
    answer(received, champion, flagged=False)
    judge(received, AGREES, flagged=False)
    receive(received, incoming("2.25.12", at=NOW + MINUTE))
    answer(received, champion, flagged=True, revision=2)
    study = the_one(received)
    assert study.answer is not None
    assert (study.answer.flagged, study.suspected, study.changed) == (False, (False,), True)
    judge(received, AGREES, flagged=True, revision=2, reader="bob")
    study = the_one(received)
    assert study.answer is not None
    assert (study.answer.flagged, study.suspected, study.changed) == (True, (True,), False)


def test_the_last_word_of_the_model_counts_and_no_other(received: Database, champion: RegisteredModel) -> None:
    """Late, it is screened after all; a flag that a reader withdrew was raised, and what was asked again came later."""
    late = {"status": ScreeningStatus.UNSCREENED}
    answer(received, champion, flagged=False, stage=Stage.OVERDUE, **late)
    unscreened = the_one(received).answer
    assert unscreened is not None
    assert not unscreened.screened
    answer(received, champion, flagged=True)
    answer(received, champion, flagged=False, stage=Stage.WITHDRAWN)
    flagged = the_one(received).answer
    assert flagged is not None
    assert flagged.flagged


def test_a_later_model_is_not_what_was_compared(received: Database, champion: RegisteredModel) -> None:
    """A re-screening that flags it leaves the answer as it was."""
    answer(received, champion, flagged=False)
    answer(received, champion, flagged=True, stage=Stage.RESCREENED)
    said = the_one(received).answer
    assert said is not None
    assert not said.flagged


def test_the_period_is_of_the_receipt_and_synthetic_studies_are_none(database: Database) -> None:
    """Its first moment is in it and its last is not; the sender is who sent the first object."""
    receive(
        database, incoming("2.25.21", study="2.25.2", at=NOW - DAY), incoming("2.25.31", study="2.25.3", at=NOW + DAY)
    )
    receive(database, incoming("2.25.41", study="2.25.4"), incoming("2.25.42", study="2.25.4"))
    receive(database, incoming("2.25.51", study="2.25.5"))
    with database.begin() as session:
        session.execute(update(Image).where(Image.sop_instance_uid == "2.25.42").values(calling_ae_title="OTHER"))
        session.execute(update(Study).where(Study.study_instance_uid == "2.25.5").values(synthetic=True))
    assert sorted((study.received_at, study.sender) for study in found(database)) == [
        (NOW - DAY, "PACS1"),
        (NOW, "PACS1"),
    ]


def test_a_study_counts_once_whatever_was_said_of_it(received: Database, champion: RegisteredModel) -> None:
    """Many results and verdicts make one study in the report, with its figures."""
    answer(received, champion, flagged=True, stage=Stage.EARLY)
    answer(received, champion, flagged=True)
    for reader in ("ann", "bob", "cy"):
        judge(received, AGREES, flagged=True, reader=reader)
    with received.read() as session:
        report = make_report(session, NOW - DAY, NOW + DAY, NOW, shadow=True)
    assert (report.studies.all, report.rates.tp, report.rates.sensitivity.whole) == (1, 1, 1)
    assert [group.name for group in report.senders] == ["PACS1"]
    assert STUDY not in report.to_json()


@pytest.mark.nightly
def test_many_verdicts_take_no_more_time_each(database: Database, champion: RegisteredModel) -> None:
    """A year of a large hospital is looked at once: within 30 s."""
    _fill(database, champion, 100_000)
    with database.begin() as session:
        session.execute(text("ANALYZE"))  # as a database does by itself before long
    began = time.monotonic()
    with database.read() as session:
        report = make_report(session, NOW - DAY, NOW + DAY, NOW, shadow=True)
    taken = time.monotonic() - began
    assert (report.rates.tp, report.rates.tn, report.judged.all) == (20_000, 80_000, 100_000)
    assert taken < 30, f"{taken:.1f} s"


def _fill(database: Database, champion: RegisteredModel, number: int) -> None:
    """Put in studies with a film, an answer of usual size and a verdict each; every fifth is flagged and suspected."""
    texts = {
        flagged: result(flagged=flagged).model_copy(update={"origin": Origin.SHADOW}).to_json() for flagged in (0, 1)
    }
    with database.begin() as session:
        ids = range(1, number + 1)
        times = {"received_at": NOW, "last_received_at": NOW, "due_at": NOW}
        studies = [{"id": i, "study_instance_uid": f"2.25.{i}", "revision": 1, **times} for i in ids]
        session.execute(insert(Study), studies)
        session.execute(insert(Image), [_image(i) for i in ids])
        common = {"revision": 1, "model_version_id": champion.id, "stage": Stage.COMPLETE, "created_at": NOW}
        flags = [{"result_uid": f"2.25.{i}", "study_id": i, "flag": texts[i % 5 == 0], **common} for i in ids]
        session.execute(insert(Result), flags)
        said = {"revision": 1, "reader": "ann", "verdict": AGREES, "said_at": NOW}
        session.execute(insert(ReaderVerdict), [{"study_id": i, "flagged": i % 5 == 0, **said} for i in ids])


def _image(number: int) -> dict[str, object]:
    return {
        "id": number,
        "study_id": number,
        "series_instance_uid": "2.25.9",
        "sop_class_uid": "2.25.9",
        "sop_instance_uid": f"2.25.{number}",
        "transfer_syntax_uid": "2.25.9",
        "content_sha256": f"{number:064x}",
        "calling_ae_title": "PACS1",
        "state": "scored",
        "warnings": [],
        "urgency": 20,
        "received_at": NOW,
    }
