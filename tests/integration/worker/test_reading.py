"""What readers say of studies, on both kinds of database."""

from collections.abc import Callable

import pytest
from sqlalchemy import select

from tests.integration.worker.conftest import Clock
from tests.studies import MINUTE, NOW, STUDY, flags, incoming, prepare, receive, score_everything, state, the_study
from worker.db import Database
from worker.domain import VerdictWord
from worker.errors import ReadingError, UnknownStudyError
from worker.reading import LONGEST_COMMENT, Reading
from worker.repository.model_versions import RegisteredModel
from worker.repository.views import study_history, worklist
from worker.service import Service
from worker.stating import Speaker
from worker.tables import Event

AGREES, DISAGREES = VerdictWord.AGREES, VerdictWord.DISAGREES
ReadBy = Callable[[str], Reading]


@pytest.fixture
def read_by(service: Callable[..., Service]) -> ReadBy:
    """Call it with a name for somebody who reads."""
    built = service()
    return lambda name: Reading(built, name)


@pytest.fixture
def study(database: Database, champion: RegisteredModel, speaker: Speaker) -> str:
    """A study of one flagged film, told early; the clock stands at its arrival."""
    receive(database, incoming())
    prepare(database)
    score_everything(database, champion, flagged={"2.25.11"})
    state(database, speaker.state_finding)
    return STUDY


def events(database: Database) -> list[tuple[str, dict[str, object]]]:
    """What the audit trail says of readers."""
    told = Event.kind.in_(("study-read", "study-unread", "reader-verdict"))
    with database.read() as session:
        return [(e.kind, e.detail) for e in session.scalars(select(Event).where(told).order_by(Event.id))]


def test_a_study_is_read_once(database: Database, study: str, read_by: ReadBy, clock: Clock) -> None:
    """The first signal counts and is recorded; a RIS that says it again changes nothing, and no priority falls."""
    first = read_by("ris").mark_read(study)
    clock.advance(minutes=5)
    assert read_by("ris").mark_read(study) == first == the_study(database).read_at == NOW
    assert events(database) == [("study-read", {"by": "ris"})]
    assert the_study(database).priority == "HIGH"


def test_an_image_that_comes_after_the_reading_is_unread(
    database: Database, study: str, read_by: ReadBy, clock: Clock
) -> None:
    """An addendum must not be lost: the study waits again, since then; the same bytes again are no news."""
    read_by("ris").mark_read(study)
    receive(database, incoming(at=NOW + MINUTE))
    assert the_study(database).read_at == NOW
    receive(database, incoming("2.25.12", at=NOW + 2 * MINUTE))
    assert (the_study(database).read_at, the_study(database).reopened_at) == (None, NOW + 2 * MINUTE)
    assert events(database)[-1] == ("study-unread", {"sop_instance_uid": "2.25.12"})
    clock.advance(minutes=3)
    assert read_by("ris").mark_read(study) == clock.time


def test_what_came_after_the_time_that_a_ris_states_was_not_read(
    database: Database, study: str, read_by: ReadBy
) -> None:
    """Its signal comes late, with the report; a film that came in between keeps the study unread."""
    receive(database, incoming("2.25.12", at=NOW + 2 * MINUTE))
    assert read_by("ris").mark_read(study, NOW + MINUTE) is None
    assert the_study(database).read_at is None
    assert read_by("ris").mark_read(study, NOW + 2 * MINUTE) == NOW
    with pytest.raises(ReadingError, match="time zone"):
        read_by("ris").mark_read(study, NOW.replace(tzinfo=None))


def test_two_readers_who_differ_are_both_kept(database: Database, study: str, read_by: ReadBy) -> None:
    """The newest word of each counts; the study is read, and everywhere the two stand as a disagreement."""
    read_by("roe").say(study, DISAGREES)
    read_by("roe").say(study, AGREES, "a reticular pattern")
    said = read_by("poe").say(study, DISAGREES)
    assert [(v.reader, v.verdict, v.counts, v.flagged) for v in said] == [
        ("roe", DISAGREES, False, True),
        ("roe", AGREES, True, True),
        ("poe", DISAGREES, True, True),
    ]
    with database.read() as session:
        (entry,), history = worklist(session, limit=9), study_history(session, study)
    assert (entry.verdict, entry.read_at, entry.priority_reason) == ("disagreement", NOW, "finding")
    assert history is not None
    assert history.verdicts == said
    read_by("poe").say(study, AGREES)
    with database.read() as session:
        assert worklist(session, limit=9)[0].verdict == "agrees"


def test_a_comment_stands_beside_its_verdict_only(database: Database, study: str, read_by: ReadBy) -> None:
    """It may name the patient: events hold ids and codes, results nothing of it."""
    (said,) = read_by("roe").say(study, AGREES, "  Mrs. Doe,\r\nleft lobe ")
    assert said.comment == "Mrs. Doe,\nleft lobe"
    detail = {"by": "roe", "verdict_id": 1, "verdict": "agrees", "flagged": True, "status": "SCREENED"}
    assert events(database) == [("reader-verdict", detail), ("study-read", {"by": "roe"})]
    assert "Doe" not in str(flags(database))


def test_what_cannot_be_said_is_one_clear_line(database: Database, study: str, read_by: ReadBy) -> None:
    """A study that nobody received, an endless comment and one of control characters: told, and nothing is kept."""
    for call in (lambda: read_by("roe").mark_read("2.25.404"), lambda: read_by("roe").say("2.25.404", AGREES)):
        with pytest.raises(UnknownStudyError, match=r"no study 2\.25\.404 was received"):
            call()
    for comment, problem in (
        ("x" * (LONGEST_COMMENT + 1), "say it in 2000"),
        ("a\0b", "no text"),
        ("\ud800", "no text"),
    ):
        with pytest.raises(ReadingError, match=problem):
            read_by("roe").say(study, AGREES, comment)
    assert events(database) == []
    assert the_study(database).read_at is None
