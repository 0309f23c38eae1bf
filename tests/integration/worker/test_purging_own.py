"""What retention does to the doctor's own studies, and to what only looks like one; on both kinds of database."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from dicom_io.reasons import Reason
from tests.integration.worker.conftest import Clock
from tests.retained import FILM, done, events, spooled
from tests.studies import (
    MINUTE,
    NOW,
    incoming,
    prepare,
    receive,
    result,
    say,
    score_everything,
    sha256,
)
from worker import purging
from worker.db import Database
from worker.domain import DeliveryState, ImageState, Stage, Urgency, VerdictWord
from worker.metrics.definitions import IMAGES
from worker.purging import Purged, Purger
from worker.repository.measures import quarantined
from worker.repository.model_versions import RegisteredModel
from worker.repository.views import service_status
from worker.tables import Delivery, Event, Image, PreparedImage, Result, Score, Study
from worker.web_tables import ReaderVerdict

OWN = "2.25.77"
TABLES = (Study, Image, Score, PreparedImage, Result, Event)


def spoken_of(database: Database, champion: RegisteredModel) -> int:
    """A result of its study, as the versions before this one said it; returns its row."""
    with database.begin() as session:
        session.execute(update(Study).values(synthetic=False))
    say(database, champion, result(OWN), stage=Stage.OVERDUE, to=())
    with database.begin() as session:
        session.execute(update(Study).values(synthetic=True))
        return session.scalars(select(Result.id)).one()


def announce(database: Database, study: str = OWN, *, at: object = NOW) -> None:
    """As the doctor does before it sends its film."""
    times = {"received_at": at, "last_received_at": at, "due_at": at}
    with database.begin() as session:
        session.add(Study(study_instance_uid=study, synthetic=True, **times))


def examined(database: Database, champion: RegisteredModel, purger: Purger, study: str = OWN) -> None:
    """The whole way of the doctor's film: announced, received, prepared, scored, concluded."""
    announce(database, study)
    receive(database, incoming(f"{study}.1", study=study, accession_number=None))
    prepare(database, f"{study}.1")
    score_everything(database, champion)
    say(database, champion, result(study), to=())
    spooled(purger, f"{study}.1", study=study)


def rows(database: Database) -> list[int]:
    """How many rows each table of a film's way has."""
    with database.read() as session:
        return [session.scalar(select(func.count()).select_from(table)) or 0 for table in TABLES]


def test_nothing_is_left_of_the_doctor_s_study_after_a_day(
    database: Database, champion: RegisteredModel, purger: Purger, clock: Clock
) -> None:
    """File, pixels, map and every row but the audit trail's; a real film of the same age stays, with all of its own."""
    file = done(database, champion, purger)
    before = rows(database)
    examined(database, champion, purger)
    clock.time = NOW + timedelta(days=1, seconds=-1)
    assert purger.purge() == Purged()
    clock.advance(seconds=1)
    assert purger.forecast().synthetic == 1
    assert purger.purge() == Purged(files=1, prepared=1, bytes=len(FILM), synthetic=1)
    assert purger.forecast().synthetic == 0
    assert file.exists()
    assert rows(database)[:-1] == before[:-1]
    assert [detail["synthetic"] for _, detail in events(database, "purge")] == [1]


def unfinished(database: Database, champion: RegisteredModel) -> None:
    """A worker may be at it yet."""
    with database.begin() as session:
        session.execute(update(Image).values(state=ImageState.PREPARED))


def unscored(database: Database, champion: RegisteredModel) -> None:
    """A frame of it waits."""
    with database.begin() as session:
        session.execute(update(Score).values(scored_at=None))


def reopened(database: Database, champion: RegisteredModel) -> None:
    """Something came, and nothing was said of it."""
    with database.begin() as session:
        session.execute(update(Study).values(revision=2))


def joined(database: Database, champion: RegisteredModel) -> None:
    """Somebody sent another object under its UID: that may be of a patient."""
    receive(database, incoming("2.25.78", study=OWN, accession_number=None))
    prepare(database, "2.25.78")
    score_everything(database, champion)
    say(database, champion, result(OWN, revision=2), to=())


def numbered(database: Database, champion: RegisteredModel) -> None:
    """No film of the doctor's has an accession number."""
    with database.begin() as session:
        session.execute(update(Study).values(accession_number="ACC1"))


def told(database: Database, champion: RegisteredModel) -> None:
    """The doctor's results go nowhere."""
    result_id = spoken_of(database, champion)
    with database.begin() as session:
        values = {"urgency": Urgency.HIGH, "state": DeliveryState.DELIVERED, "created_at": NOW}
        session.add(Delivery(result_id=result_id, destination="pacs", **values))


def judged(database: Database, champion: RegisteredModel) -> None:
    """A reader has looked at it."""
    with database.begin() as session:
        (study_id,) = session.scalars(select(Study.id))
        values = {"reader": "jane", "verdict": VerdictWord.AGREES, "flagged": False, "said_at": NOW}
        session.add(ReaderVerdict(study_id=study_id, revision=1, **values))


def promised(database: Database, champion: RegisteredModel) -> None:
    """Somebody was promised that we keep it."""
    with database.begin() as session:
        session.execute(update(Image).values(committed_until=NOW))


def real(database: Database, champion: RegisteredModel) -> None:
    """It only looks like one."""
    with database.begin() as session:
        session.execute(update(Study).values(synthetic=False))


@pytest.mark.parametrize(
    "keep",
    [unfinished, unscored, reopened, joined, numbered, told, judged, promised, real],
    ids=lambda keep: keep.__name__,
)
def test_a_study_that_is_more_than_the_doctor_s_film_stays_whole(
    database: Database,
    champion: RegisteredModel,
    purger: Purger,
    clock: Clock,
    keep: Callable[[Database, RegisteredModel], None],
) -> None:
    """Each on its own keeps the file and every row."""
    examined(database, champion, purger)
    keep(database, champion)
    before = rows(database)
    clock.time = NOW + timedelta(days=2)
    assert purger.forecast().synthetic == 0
    assert purger.purge().synthetic == 0
    assert rows(database)[:-1] == before[:-1]
    assert purger.service.spool.path(sha256(f"{OWN} {OWN}.1 first")).exists()


def test_a_doctor_whose_film_never_came_leaves_nothing(database: Database, purger: Purger) -> None:
    """The listener was down: the row that announced it goes."""
    purger.service.spool.root.mkdir(parents=True)
    announce(database)
    assert purger.purge() == Purged(synthetic=1)
    assert rows(database)[0] == 0


def test_what_versions_before_said_of_it_stays_and_all_else_goes(
    database: Database, champion: RegisteredModel, purger: Purger
) -> None:
    """The database lets nobody delete a result; the study's row stays with it, and is not looked at again."""
    examined(database, champion, purger)
    spoken_of(database, champion)
    assert purger.purge().synthetic == 1
    assert rows(database)[:5] == [1, 0, 0, 0, 1]
    assert purger.purge() == Purged()


def test_content_that_another_study_has_stays_for_it(
    database: Database, champion: RegisteredModel, purger: Purger, clock: Clock
) -> None:
    """File and pixels are known by their content alone."""
    examined(database, champion, purger)
    receive(database, incoming(study="2.25.5", at=NOW + timedelta(days=2)))
    content = sha256(f"{OWN} {OWN}.1 first")
    with database.begin() as session:
        session.execute(update(Image).where(Image.state == ImageState.RECEIVED).values(content_sha256=content))
    clock.time = NOW + timedelta(days=2)
    assert purger.purge() == Purged(synthetic=1)
    assert purger.service.spool.path(content).exists()
    assert rows(database)[:4] == [1, 1, 0, 1]


def test_many_of_them_go_by_a_bounded_number_at_a_time(
    database: Database, champion: RegisteredModel, purger: Purger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A doctor that asked every minute for a year holds nothing up: the run ends in time, and the next goes on."""
    monkeypatch.setattr(purging, "STUDIES_PER_TRANSACTION", 2)
    purger.service.spool.root.mkdir(parents=True)
    for number in range(5):
        announce(database, f"2.25.{number + 1}")
    seconds = iter(range(1000))
    bounded = Purger(purger.service, clock=lambda: float(next(seconds)))
    assert bounded.purge(seconds=4.5).synthetic == 4
    assert bounded.purge(seconds=4.5).synthetic == 1


def test_a_film_that_is_just_sent_again_keeps_its_study(
    database: Database, champion: RegisteredModel, purger: Purger, clock: Clock
) -> None:
    """Its sender waits for our word on it."""
    examined(database, champion, purger)
    clock.time = NOW + timedelta(days=1)
    path = spooled(purger, f"{OWN}.1", study=OWN)
    path.touch()
    monotonic = path.stat().st_mtime
    clock.time = NOW.fromtimestamp(monotonic, NOW.tzinfo) + MINUTE
    assert purger.purge().synthetic == 0
    assert path.exists()


def test_the_doctor_s_films_count_nowhere_as_films(
    database: Database, champion: RegisteredModel, purger: Purger
) -> None:
    """Neither as prepared and scored nor, when one fails, as one to look after."""
    before = [IMAGES.labels(state, "")._value.get() for state in ("prepared", "scored")]
    examined(database, champion, purger)
    assert [IMAGES.labels(state, "")._value.get() for state in ("prepared", "scored")] == before
    with database.begin() as session:
        session.execute(update(Image).values(state=ImageState.FAILED, reason=Reason.ATTEMPTS_EXHAUSTED))
    with database.read() as session:
        assert (quarantined(session), service_status(session).failed_images) == (0, 0)
