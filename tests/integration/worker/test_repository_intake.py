"""What the listener records, on both kinds of database."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select

from dicom_io.reasons import Reason
from dicom_io.types import SOPInstanceReference
from tests.studies import MINUTE, NOW, STUDY, incoming, prepare, receive, rolled_back, score_everything, sha256
from worker.db import Database
from worker.domain import ImageState, Urgency
from worker.repository.intake import Receipt, record_image, record_other_object
from worker.repository.model_versions import RegisteredModel
from worker.tables import Event, Image, Study


def the_study(database: Database) -> Study:
    """The only study."""
    with database.read() as session:
        return session.scalars(select(Study)).one()


def images(database: Database) -> Sequence[Image]:
    """All images in order of arrival."""
    with database.read() as session:
        return session.scalars(select(Image).order_by(Image.id)).all()


def receipts(database: Database) -> list[str]:
    """What the audit trail says of each sending."""
    with database.read() as session:
        events = session.scalars(select(Event).where(Event.kind == "image-received").order_by(Event.id))
        return [event.detail["receipt"] for event in events]


def test_a_first_film_opens_a_study(database: Database) -> None:
    """The study is at revision 1 and due; the film is work of the sender's urgency."""
    assert receive(database, incoming(urgency=Urgency.HIGH)) == [Receipt.NEW]
    study, (image,) = the_study(database), images(database)
    assert (study.study_instance_uid, study.accession_number) == (STUDY, "ACC1")
    assert (study.revision, study.concluded_revision, study.status) == (1, 0, None)
    assert (study.received_at, study.last_received_at, study.due_at) == (NOW, NOW, NOW + 30 * MINUTE)
    assert (image.state, image.urgency, image.attempts, image.lease_until) == ("received", Urgency.HIGH, 0, None)
    assert not study.synthetic


def test_the_same_film_again_changes_nothing(database: Database) -> None:
    """A sender that missed our answer sends again: one image, one revision, and two lines in the audit trail."""
    assert receive(database, incoming(), incoming(at=NOW + MINUTE)) == [Receipt.NEW, Receipt.DUPLICATE]
    study = the_study(database)
    assert (study.revision, study.last_received_at, len(images(database))) == (1, NOW, 1)
    assert receipts(database) == ["new", "duplicate"]


def test_other_bytes_under_the_same_uid_replace_the_film(database: Database) -> None:
    """The newer object is work, the older one is said nothing of, and the study is at its next revision."""
    corrected = incoming(content="corrected", at=NOW + MINUTE)
    assert receive(database, incoming(), corrected) == [Receipt.NEW, Receipt.REPLACEMENT]
    assert [image.state for image in images(database)] == [ImageState.SUPERSEDED, ImageState.RECEIVED]
    study = the_study(database)
    assert (study.revision, study.last_received_at) == (2, NOW + MINUTE)


def test_a_scored_film_that_was_replaced_does_not_come_back_by_itself(
    database: Database, champion: RegisteredModel
) -> None:
    """The older bytes, sent again, are known and judged: nothing new is said of the study."""
    receive(database, incoming())
    prepare(database)
    score_everything(database, champion)
    receive(database, incoming(content="corrected"))
    assert receive(database, incoming()) == [Receipt.DUPLICATE]
    assert [image.state for image in images(database)] == [ImageState.SUPERSEDED, ImageState.RECEIVED]
    assert the_study(database).revision == 2


def test_a_film_that_was_replaced_before_it_was_scored_comes_back_when_it_is_sent_again(database: Database) -> None:
    """What the sender holds is looked at; what replaced it meanwhile is superseded in turn."""
    receive(database, incoming())
    prepare(database)
    receive(database, incoming(content="corrected"))
    assert receive(database, incoming()) == [Receipt.REPLACEMENT]
    assert [image.state for image in images(database)] == [ImageState.RECEIVED, ImageState.SUPERSEDED]
    assert the_study(database).revision == 3


def test_two_broken_objects_under_one_uid_do_not_replace_each_other_for_ever(database: Database) -> None:
    """Each is judged once; an archive that is sent again opens no study."""
    receive(database, incoming())
    prepare(database, state=ImageState.FAILED, reason=Reason.TRUNCATED)
    receive(database, incoming(content="corrected"))
    prepare(database, state=ImageState.FAILED, reason=Reason.TRUNCATED)
    assert receive(database, incoming(), incoming(content="corrected")) == [Receipt.DUPLICATE, Receipt.DUPLICATE]
    assert the_study(database).revision == 2


def test_a_late_film_opens_the_study_again(database: Database) -> None:
    """The revision rises over the concluded one, and time to screen begins anew."""
    receive(database, incoming())
    with database.begin() as session:
        session.scalars(select(Study)).one().concluded_revision = 1
    receive(database, incoming("2.25.12", at=NOW + 60 * MINUTE))
    study = the_study(database)
    assert (study.revision, study.concluded_revision) == (2, 1)
    assert (study.received_at, study.due_at) == (NOW, NOW + 90 * MINUTE)


def test_a_duplicate_does_not_open_a_concluded_study(database: Database) -> None:
    """A PACS that sends its archive twice makes no results."""
    receive(database, incoming())
    prepare(database)
    with database.begin() as session:
        session.scalars(select(Study)).one().concluded_revision = 1
    receive(database, incoming(at=NOW + MINUTE))
    study = the_study(database)
    assert study.revision == study.concluded_revision
    assert [image.state for image in images(database)] == [ImageState.PREPARED]


def test_the_first_known_accession_number_stays(database: Database) -> None:
    """Filled in when a later film brings it, never overwritten."""
    for film, number in (("2.25.11", None), ("2.25.12", "A1"), ("2.25.13", "A2"), ("2.25.14", None)):
        receive(database, incoming(film, accession_number=number))
    assert the_study(database).accession_number == "A1"


def test_one_film_in_two_studies_is_two_images(database: Database) -> None:
    """A SOP Instance UID that a faulty sender uses twice hides no study."""
    receive(database, incoming(study="2.25.1"), incoming(study="2.25.2"))
    assert [image.state for image in images(database)] == [ImageState.RECEIVED, ImageState.RECEIVED]


def test_many_films_of_a_study_at_once_are_all_counted(database: Database) -> None:
    """Eight associations bring 24 films of one study: 24 images, 24 revisions."""
    films = [incoming(f"2.25.{number}") for number in range(100, 124)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda film: receive(database, film), films))
    assert answers == [[Receipt.NEW]] * 24
    assert (the_study(database).revision, len(images(database))) == (24, 24)


def test_one_film_sent_at_once_over_many_associations_is_one_image(database: Database) -> None:
    """One of eight senders brings something new; the unique key decides, not a look before."""
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: receive(database, incoming())[0], range(8)))
    assert sorted(answers) == [Receipt.DUPLICATE] * 7 + [Receipt.NEW]
    assert the_study(database).revision == 1


def test_a_transaction_that_fails_records_nothing(database: Database) -> None:
    """No image, study or event of an intake that did not commit."""
    with rolled_back(database) as session:
        record_image(session, incoming())
    with database.read() as session:
        assert [session.query(table).count() for table in (Study, Image, Event)] == [0, 0, 0]


def test_an_object_without_pixels_opens_no_study(database: Database) -> None:
    """A report is in the audit trail and nowhere else, also if its study is known."""
    receive(database, incoming())
    report = SOPInstanceReference(STUDY, "2.25.9", "1.2.840.10008.5.1.4.1.1.88.34", "2.25.99")
    with database.begin() as session:
        record_other_object(session, report, "PACS1", NOW)
        record_other_object(session, SOPInstanceReference("2.25.7", "1", "2", "3"), "PACS1", NOW)
    with database.read() as session:
        events = session.scalars(select(Event).where(Event.kind == "object-recorded").order_by(Event.id)).all()
    assert [event.study_instance_uid for event in events] == [STUDY, "2.25.7"]
    assert events[0].detail["sop_instance_uid"] == "2.25.99"
    assert (the_study(database).revision, len(images(database))) == (1, 1)


def test_the_audit_trail_tells_which_bytes_came_from_whom(database: Database) -> None:
    """Hash and calling AE title stand with the receipt."""
    receive(database, incoming())
    with database.read() as session:
        event = session.scalars(select(Event)).one()
    assert event.study_instance_uid == STUDY
    assert event.detail["content_sha256"] == sha256(f"{STUDY} 2.25.11 first")
    assert event.detail["calling_ae_title"] == "PACS1"
