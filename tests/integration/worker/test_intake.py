"""Taking responsibility: success only once file and rows are durable, on both kinds of database."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from prometheus_client import Gauge
from pydicom import Dataset, uid
from pynetdicom.dsutils import encode
from sqlalchemy import select, text

from dicom_io.errors import OutOfResourcesError, SpoolError
from dicom_io.identification import identify
from dicom_io.phantom import phantom_dataset
from dicom_io.rejection import Rejection
from dicom_io.report import MANUFACTURER
from dicom_io.scp import ReceivedObject
from tests.integration.worker.conftest import Wakes
from tests.notes import key_objects
from tests.servers.ports import free_port
from tests.studies import MINUTE, NOW
from worker.db import Database
from worker.domain import Urgency
from worker.intake import Intake
from worker.metrics import counting
from worker.queues import Queue
from worker.schema import migrate
from worker.service import Service
from worker.settings import Settings
from worker.tables import Event, Image, Study

BuildService = Callable[..., Service]


def received(dataset: Dataset | None = None, *, priority: int = 0) -> ReceivedObject:
    """A film as the provider hands it over."""
    dataset = dataset or phantom_dataset(1, kind="CR", rows=16, columns=16, accession_number="ACC1")
    raw = memoryview(encode(dataset, False, True) or b"")
    return ReceivedObject(
        identification=identify(raw, uid.ExplicitVRLittleEndian),
        transfer_syntax_uid=uid.ExplicitVRLittleEndian,
        calling_ae_title="PACS1",
        priority=priority,
        file_head=b"head",
        data_set=raw,
        content_sha256=sha256(raw).hexdigest(),
    )


def report() -> Dataset:
    """An object without pixels in some study."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = uid.ComprehensiveSRStorage, "2.25.99"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.1", "2.25.2"
    return dataset


def rows(database: Database) -> list[int]:
    """How many studies, images and events there are."""
    with database.read() as session:
        return [session.query(table).count() for table in (Study, Image, Event)]


def spooled(service: Service) -> list[Path]:
    """Every file in the spool."""
    return [path for path in service.spool.root.rglob("*") if path.is_file()]


def test_a_received_film_is_in_spool_and_tables(service: BuildService, database: Database) -> None:
    """The file holds head and data set; the row names its hash, length, sender and due time."""
    film, built = received(), service(screen_within_minutes=5)
    Intake(built).receive(film)
    assert built.spool.path(film.content_sha256).read_bytes() == b"head" + bytes(film.data_set)
    with database.read() as session:
        image, study = session.scalars(select(Image)).one(), session.scalars(select(Study)).one()
    assert (image.content_sha256, image.calling_ae_title) == (film.content_sha256, "PACS1")
    assert image.data_set_bytes == len(film.data_set)
    assert (image.transfer_syntax_uid, image.received_at) == (uid.ExplicitVRLittleEndian, NOW)
    assert (study.accession_number, study.due_at) == ("ACC1", NOW + 5 * MINUTE)


@pytest.mark.parametrize(
    ("priority", "urgency"), [(0, Urgency.MEDIUM), (1, Urgency.HIGH), (2, Urgency.LOW), (77, Urgency.MEDIUM)]
)
def test_the_senders_priority_orders_the_work(
    service: BuildService, database: Database, priority: int, urgency: Urgency
) -> None:
    """0 is medium, 1 high, 2 low (PS3.7 E.1); what is none of them is medium."""
    Intake(service()).receive(received(priority=priority))
    with database.read() as session:
        assert session.scalars(select(Image.urgency)).one() == urgency


def test_a_caller_that_is_named_urgent_goes_first(service: BuildService, database: Database) -> None:
    """Whatever priority it sends with; another caller keeps its own, and padding of the title does not count."""
    Intake(service(listener={"urgent_callers": ["PACS1 "]})).receive(received(priority=2))
    with database.read() as session:
        assert session.scalars(select(Image.urgency)).one() == Urgency.HIGH


def test_another_caller_than_the_urgent_one_waits_its_turn(service: BuildService, database: Database) -> None:
    """The setting names callers; it is no new default."""
    Intake(service(listener={"urgent_callers": ["EMERGENCY"]})).receive(received(priority=2))
    with database.read() as session:
        assert session.scalars(select(Image.urgency)).one() == Urgency.LOW


def test_the_wake_up_leaves_after_the_commit(service: BuildService, database: Database, wakes: Wakes) -> None:
    """Whoever is woken finds the row; a wake-up before it would be lost until the sweep."""
    seen: list[list[int]] = []
    wakes.watch = lambda: seen.append(rows(database))
    Intake(service()).receive(received())
    assert (wakes.queues, seen) == ([Queue.PREPARE], [[1, 1, 1]])


def test_the_file_is_durable_before_the_row_is(
    service: BuildService, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row without a file would be a film that was answered for and lost."""
    built, film, seen = service(), received(), []
    begin = Database.begin

    def look_then_begin(self: Database) -> object:
        seen.append(built.spool.path(film.content_sha256).exists())
        return begin(self)

    monkeypatch.setattr(Database, "begin", look_then_begin)
    Intake(built).receive(film)
    assert seen == [True]


def test_a_film_that_is_known_wakes_nobody(service: BuildService, database: Database, wakes: Wakes) -> None:
    """Sent twice: one file, one image, one wake-up."""
    intake, film = Intake(service()), received()
    intake.receive(film)
    intake.receive(film)
    assert wakes.queues == [Queue.PREPARE]
    assert rows(database) == [1, 1, 2]
    assert len(spooled(intake.service)) == 1


def test_an_object_without_pixels_is_recorded_and_opens_no_study(
    service: BuildService, database: Database, wakes: Wakes
) -> None:
    """A report, perhaps our own: no file, no study, no wake-up, one line in the audit trail."""
    built = service()
    Intake(built).receive(received(report()))
    assert (rows(database), wakes.queues, spooled(built)) == ([0, 0, 1], [], [])


def test_our_own_picture_coming_back_opens_no_study(service: BuildService, database: Database, wakes: Wakes) -> None:
    """An object with pixels that we made, such as a heatmap: recorded, neither stored nor screened."""
    picture = phantom_dataset(1, kind="SC", rows=16, columns=16)
    picture.Manufacturer = picture.ManufacturerModelName = MANUFACTURER
    built = service()
    Intake(built).receive(received(picture))
    assert (rows(database), wakes.queues, spooled(built)) == ([0, 0, 1], [], [])


def events(database: Database) -> list[tuple[str, dict[str, object]]]:
    """Kind and detail of every event, in order."""
    with database.read() as session:
        return [(event.kind, event.detail) for event in session.scalars(select(Event).order_by(Event.id))]


def test_a_rejection_note_is_applied_to_the_film_it_names(
    service: BuildService, database: Database, wakes: Wakes
) -> None:
    """Film, then note, over the listener's own way in: the image carries the title, the study is open again."""
    intake, film = Intake(service()), phantom_dataset(1, kind="CR", rows=16, columns=16)
    intake.receive(received(film))
    intake.receive(received(key_objects({film.StudyInstanceUID: (film.SOPInstanceUID,)})))
    with database.read() as session:
        assert session.scalars(select(Image.rejection)).one() == "113001"
        assert session.scalars(select(Study.revision)).one() == 2
    kinds = [kind for kind, _ in events(database)]
    assert kinds == ["image-received", "object-recorded", "images-rejected", "rejection-note"]
    assert wakes.queues == [Queue.PREPARE]


def test_a_note_that_arrives_first_waits_for_its_film(service: BuildService, database: Database) -> None:
    """The note opens no study; the film that follows is marked at once."""
    intake, film = Intake(service()), phantom_dataset(1, kind="CR", rows=16, columns=16)
    intake.receive(received(key_objects({film.StudyInstanceUID: (film.SOPInstanceUID,)}, Rejection.WORKLIST_ENTRY)))
    assert rows(database)[:2] == [0, 0]
    intake.receive(received(film))
    with database.read() as session:
        assert session.scalars(select(Image.rejection)).one() == "113038"


def test_other_key_objects_are_only_recorded(service: BuildService, database: Database) -> None:
    """Of Interest takes nothing back."""
    intake, film = Intake(service()), phantom_dataset(1, kind="CR", rows=16, columns=16)
    intake.receive(received(film))
    intake.receive(received(key_objects({film.StudyInstanceUID: (film.SOPInstanceUID,)}, "113000")))
    assert [kind for kind, _ in events(database)] == ["image-received", "object-recorded"]
    with database.read() as session:
        assert session.scalars(select(Image.rejection)).one() is None


def test_a_note_that_cannot_be_read_is_taken_and_recorded_with_its_fault(
    service: BuildService, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sending it again would not mend it: it is answered with success, and takes nothing back."""
    monkeypatch.setattr("dicom_io.rejection.MAX_REFERENCES", 0)
    intake, film = Intake(service()), phantom_dataset(1, kind="CR", rows=16, columns=16)
    intake.receive(received(film))
    intake.receive(received(key_objects({film.StudyInstanceUID: (film.SOPInstanceUID,)})))
    kind, detail = events(database)[-1]
    assert kind == "object-recorded"
    assert "names more than 0 objects" in str(detail["fault"])
    with database.read() as session:
        assert session.scalars(select(Image.rejection)).one() is None


def test_a_spool_that_is_full_takes_nothing(service: BuildService, database: Database, wakes: Wakes) -> None:
    """The sender is told to try again, and no row speaks of a film that is not there."""
    built = service(min_free_bytes=1 << 60)
    with pytest.raises(SpoolError):
        Intake(built).receive(received())
    assert (rows(database), wakes.queues, spooled(built)) == ([0, 0, 0], [], [])


@pytest.mark.parametrize("dataset", [None, report()], ids=["film", "report"])
def test_a_database_that_is_away_is_out_of_resources(
    service: BuildService, database: Database, wakes: Wakes, tmp_path: Path, dataset: Dataset | None
) -> None:
    """Nobody answers on the port, or the file's folder is gone: the sender is asked to try again, nobody is woken."""
    if database.engine.dialect.name == "postgresql":
        away = Database(f"postgresql+psycopg://postgres@127.0.0.1:{free_port()}/gone")
    else:
        away = Database(f"sqlite:///{tmp_path / 'gone' / 'test.sqlite'}")
    with pytest.raises(OutOfResourcesError, match=r"\Adatabase: OperationalError"):
        Intake(service(on=away)).receive(received(dataset))
    away.dispose()
    assert wakes.queues == []


def test_a_database_that_fails_in_the_middle_keeps_nothing(
    empty_database: Database, clock: Callable[[], object], wakes: Wakes, tmp_path: Path
) -> None:
    """The last of three inserts fails: study and image are undone with it, and sending again succeeds."""
    migrate(empty_database)
    with empty_database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE events RENAME TO elsewhere"))
    settings = Settings(data_dir=tmp_path / "data", min_free_bytes=0)
    intake, film = Intake(Service(settings, empty_database, wakes, clock)), received()  # type: ignore[arg-type]
    with pytest.raises(OutOfResourcesError):
        intake.receive(film)
    assert wakes.queues == []
    with empty_database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO events"))
    assert rows(empty_database) == [0, 0, 0]
    intake.receive(film)
    assert rows(empty_database) == [1, 1, 1]


def test_a_database_that_stays_locked_is_out_of_resources(
    service: BuildService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """SQLite's writer is held up longer than the sender should wait."""
    monkeypatch.setattr("worker.db.BUSY_TIMEOUT_SECONDS", 0.05)
    database = Database(f"sqlite:///{tmp_path / 'locked.sqlite'}")
    migrate(database)
    with database.begin() as other:
        other.execute(text("SELECT 1"))
        with pytest.raises(OutOfResourcesError):
            Intake(service(on=database)).receive(received())
    assert rows(database) == [0, 0, 0]
    database.dispose()


@pytest.mark.parametrize(("synthetic", "seen"), [(True, {}), (False, {"PACS1": NOW.timestamp()})])
def test_the_doctor_s_films_do_not_hide_a_silent_sender(
    synthetic: bool, seen: dict[str, float], service: BuildService, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A doctor that asks every few minutes as the PACS would else keep the alert from ever firing."""
    gauge = Gauge("seen", "When.", ["ae_title"], registry=None)
    monkeypatch.setattr(counting, "SENDER_SEEN", gauge)
    film = received()
    with database.begin() as session:
        uid = film.identification.reference.study_instance_uid
        times = dict.fromkeys(("received_at", "last_received_at", "due_at"), NOW)
        session.add(Study(study_instance_uid=uid, synthetic=synthetic, **times))
    Intake(service()).receive(film)
    told = {sample.labels["ae_title"]: sample.value for metric in gauge.collect() for sample in metric.samples}
    assert told == seen
