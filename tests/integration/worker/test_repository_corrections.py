"""Corrected patients and studies, on both kinds of database: named by attribute, and repeated by what is sent later."""

from datetime import datetime

from pydicom import Dataset
from sqlalchemy import select, update

from dicom_io.header import encode_header
from dicom_io.rejection import RejectedObject, Rejection, RejectionNote
from dicom_io.report import ReportForm, derive_uid
from dicom_io.types import SOPInstanceReference
from tests.results import film
from tests.studies import MINUTE, NOW, POLICY, STUDY, flags, incoming, prepare, receive, score_everything, state
from tests.studies import the_study as study_of
from worker.db import Database
from worker.delivery.reporting import structured_report
from worker.receipt import Receipt
from worker.repository.corrections import newest_header
from worker.repository.model_versions import RegisteredModel
from worker.repository.outbox import DeliveryWork, claim_delivery, finish_delivery
from worker.repository.rejections import record_rejection
from worker.stating import Speaker
from worker.tables import Event, Image


def header(sop_instance_uid: str = "2.25.11", **attributes: str) -> bytes:
    """The header of a film of the study, with some attributes changed."""
    dataset = film(sop_instance_uid)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, f"{STUDY}.0"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return encode_header(dataset)


def screen(  # what arrives, and when
    database: Database,
    champion: RegisteredModel,
    film_uid: str = "2.25.11",
    *,
    content: str = "first",
    at: datetime = NOW,
    **attributes: str,
) -> None:
    """Let a film with this header come, be prepared and be scored."""
    receive(database, incoming(film_uid, content=content, at=at))
    prepare(database, film_uid, header=header(film_uid, **attributes))
    score_everything(database, champion)


def corrections(database: Database) -> list[dict[str, object]]:
    """What was recorded of corrections."""
    with database.read() as session:
        return list(session.scalars(select(Event.detail).where(Event.kind == "study-corrected").order_by(Event.id)))


def newest(database: Database) -> bytes | None:
    """The header whose patient is named by what is sent now."""
    with database.read() as session:
        return newest_header(session, study_of(database).id)


def take(database: Database, destination: str = "flags") -> DeliveryWork:
    """Take the next delivery; those of other destinations stay taken."""
    with database.begin() as session:
        while work := claim_delivery(session, now=NOW, policy=POLICY):
            if work.destination == destination:
                return work
    raise AssertionError(destination)


def finish(database: Database, work: DeliveryWork) -> None:
    """Let the destination accept it."""
    with database.begin() as session:
        finish_delivery(session, work, Receipt("taken", ReportForm.COMPREHENSIVE_3D_SR), NOW)


def report(work: DeliveryWork) -> Dataset:
    """The structured report that the delivery sends."""
    return structured_report(work.result)


def test_a_corrected_patient_is_recorded_by_attribute(database: Database, champion: RegisteredModel) -> None:
    """The event names what changed and holds no value of it; the study counts it."""
    screen(database, champion)
    screen(database, champion, content="corrected", PatientName="Right^Name", AccessionNumber="ACC2")
    assert corrections(database) == [{"attributes": ["PatientName", "AccessionNumber"], "corrections": 1}]
    study = study_of(database)
    assert (study.corrections, study.accession_number, study.revision) == (1, "ACC2", 2)


def test_other_bytes_with_the_same_patient_are_no_correction(database: Database, champion: RegisteredModel) -> None:
    """A film that was described anew or padded otherwise corrects nothing; nor does a second film."""
    screen(database, champion)
    name = str(film().PatientName)
    screen(database, champion, content="described", SeriesDescription="other", PatientName=f"{name} ")
    screen(database, champion, "2.25.12")
    assert corrections(database) == []
    assert study_of(database).corrections == 0


def test_another_film_that_names_another_patient_corrects_the_study(
    database: Database, champion: RegisteredModel
) -> None:
    """A study has one patient (PS3.3 A.1.2): the object that came last says who."""
    screen(database, champion)
    screen(database, champion, "2.25.12", PatientID="P2")
    assert corrections(database) == [{"attributes": ["PatientID"], "corrections": 1}]


def test_films_that_are_prepared_in_another_order_do_not_bring_the_old_patient_back(
    database: Database, champion: RegisteredModel
) -> None:
    """The newer film is prepared first: the older one's header is no news."""
    receive(database, incoming(), incoming("2.25.12", at=NOW + MINUTE))
    prepare(database, "2.25.12", header=header("2.25.12", PatientID="P2"))
    prepare(database, header=header())
    assert corrections(database) == []
    assert study_of(database).corrections == 0


def test_an_object_that_takes_its_place_again_brings_its_patient_back(database: Database) -> None:
    """It was replaced before it was scored, and comes again: what is sent names its patient, which is a correction."""
    receive(database, incoming())
    prepare(database, header=header())
    receive(database, incoming(content="other", at=NOW + MINUTE))
    prepare(database, header=header(PatientID="P2", AccessionNumber="ACC2"))
    receive(database, incoming(at=NOW + 2 * MINUTE))
    prepare(database, header=header())
    named: dict[str, object] = {"attributes": ["PatientID", "AccessionNumber"]}
    assert corrections(database) == [{**named, "corrections": 1}, {**named, "corrections": 2}]
    assert study_of(database).accession_number == "ACC1"


def test_a_purged_film_that_comes_again_does_not_bring_its_patient_back(
    database: Database, champion: RegisteredModel
) -> None:
    """Its bytes are kept again and change nothing else: as if its file had never been purged."""
    screen(database, champion)
    screen(database, champion, "2.25.12", at=NOW + MINUTE, PatientID="P2")
    with database.begin() as session:
        session.execute(update(Image).values(purged_at=NOW + MINUTE))
    before = newest(database)
    receive(database, incoming(at=NOW + 2 * MINUTE))
    assert newest(database) == before
    assert study_of(database).corrections == 1


def test_a_result_that_waits_is_sent_with_the_corrected_patient_as_another_object(
    database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """It was said before the correction: same result, same statement, new patient, and a UID of its own."""
    screen(database, champion)
    state(database, speaker.state_conclusion)
    before = take(database)
    screen(database, champion, content="corrected", PatientID="P2", AccessionNumber="ACC2")
    after = _taken_again(database)
    assert before.result.flag.result_uid == after.result.flag.result_uid
    assert (before.result.flag.accession_number, after.result.flag.accession_number) == ("ACC1", "ACC2")
    old, new = report(before), report(after)
    assert (str(old.PatientID), str(new.PatientID)) == (str(film().PatientID), "P2")
    assert new.AccessionNumber == "ACC2"
    uid = before.result.flag.result_uid
    assert (old.SOPInstanceUID, new.SOPInstanceUID) == (derive_uid(uid, "sr"), derive_uid(uid, "sr", 1))
    assert old.SeriesInstanceUID != new.SeriesInstanceUID
    assert _references(old) == _references(new)


def _taken_again(database: Database) -> DeliveryWork:
    # The first sender died; its lease is over.
    with database.begin() as session:
        work = claim_delivery(session, now=NOW + POLICY.lease, policy=POLICY)
    assert work is not None
    return work


def _references(document: Dataset) -> list[str]:
    series = document.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    return [str(item.ReferencedSOPInstanceUID) for one in series for item in one.ReferencedSOPSequence]


def test_without_a_correction_sending_again_is_the_same_object(
    database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """A late film of the same patient changes neither UID nor bytes of what waits."""
    screen(database, champion)
    state(database, speaker.state_conclusion)
    before = take(database)
    screen(database, champion, "2.25.12", at=NOW + MINUTE)
    assert report(_taken_again(database)) == report(before)


def test_a_successor_names_the_object_that_was_sent(
    database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """The predecessor went out before the correction, under its uncorrected UID; later ones under theirs."""
    screen(database, champion)
    state(database, speaker.state_conclusion)
    sent = []
    for step in ("corrected once", "corrected twice", "late"):
        work = take(database)
        sent.append(report(work))
        finish(database, work)
        screen(database, champion, content=step, PatientID=step.split()[-1] if step != "late" else "twice")
        state(database, speaker.state_conclusion)
    last = report(take(database))
    named = [document.get("PredecessorDocumentsSequence") for document in [*sent[1:], last]]
    uids = [item[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in named]
    series = [item[0].ReferencedSeriesSequence[0].SeriesInstanceUID for item in named]
    assert uids == [document.SOPInstanceUID for document in sent]
    assert series == [document.SeriesInstanceUID for document in sent]
    assert [str(document.PatientID) for document in [*sent[1:], last]] == ["once", "twice", "twice"]


def test_each_destination_has_its_own_predecessor(
    database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """The folder took the first result and the PACS did not: only the folder's second report names it."""
    screen(database, champion)
    state(database, speaker.state_conclusion)
    finish(database, take(database))
    screen(database, champion, "2.25.12")
    state(database, speaker.state_conclusion)
    first, second = flags(database)
    folder = take(database)
    assert (folder.result.flag.result_uid, folder.result.predecessor_result_uid) == (
        second["result_uid"],
        first["result_uid"],
    )
    with database.begin() as session:
        pacs = claim_delivery(session, now=NOW + POLICY.lease, policy=POLICY)
        while pacs is not None and pacs.destination != "pacs":
            pacs = claim_delivery(session, now=NOW + POLICY.lease, policy=POLICY)
    assert pacs is not None
    assert (pacs.result.flag.result_uid, pacs.result.predecessor_result_uid) == (first["result_uid"], None)


def test_the_patient_of_a_rejected_film_is_not_repeated(
    database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """A wrong worklist entry named another patient; once it is rejected, the study is again that of the other film."""
    screen(database, champion)
    screen(database, champion, "2.25.12", PatientID="WRONG", AccessionNumber="ACC9")
    note = RejectionNote(Rejection.WORKLIST_ENTRY, (RejectedObject(STUDY, "2.25.12"),))
    with database.begin() as session:
        record_rejection(session, note, SOPInstanceReference(STUDY, "2.25.50", "1.2", "2.25.51"), NOW)
    assert study_of(database).corrections == 2
    assert study_of(database).accession_number == "ACC1"
    state(database, speaker.state_conclusion)
    sent = take(database)
    assert str(report(sent).PatientID) == str(film().PatientID)
    assert sent.result.flag.accession_number == "ACC1"


def test_a_report_of_a_study_whose_films_were_all_rejected_names_none(
    database: Database, champion: RegisteredModel, speaker: Speaker
) -> None:
    """It still speaks of the study: UNSCREENED, rejected; no image stands in its evidence or its content."""
    screen(database, champion)
    note = RejectionNote(Rejection.QUALITY, (RejectedObject(STUDY, "2.25.11"),))
    with database.begin() as session:
        record_rejection(session, note, SOPInstanceReference(STUDY, "2.25.50", "1.2", "2.25.51"), NOW)
    state(database, speaker.state_conclusion)
    document = report(take(database))
    assert "CurrentRequestedProcedureEvidenceSequence" not in document
    assert "2.25.11" not in {str(element.value) for element in document.iterall() if element.VR == "UI"}
    assert document.SeriesDescription == "AI TRIAGE: UNSCREENED"
