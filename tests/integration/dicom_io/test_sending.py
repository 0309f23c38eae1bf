"""An association on which is known what the peer takes, and on which it may report at once."""

import pytest
from pynetdicom import evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from dicom_io.commitment import ObjectReference
from dicom_io.commitment_outcome import CommitmentOutcome
from dicom_io.errors import PeerUnreachableError, StoreRefusedError
from dicom_io.report import ReportForm
from dicom_io.sending import sending
from tests.report_pacs import AE_TITLE, ReportPacs, event_information, report_pacs

BEST, SECOND, PICTURE = ReportForm
CLASSES = [form.sop_class_uid for form in ReportForm]
REPORT = (str(BEST.sop_class_uid), "2.25.11")
HOW = {"calling_ae_title": "CXRTRIAGE", "timeout_seconds": 2}


def test_it_tells_what_the_peer_takes_before_anything_is_sent() -> None:
    """A class that was not accepted is known, and so is whether storage commitment may be asked for."""
    with report_pacs(ReportPacs(), forms=(SECOND,), commits=True) as pacs:
        peer = pacs.destination().entity
        with sending(peer, CLASSES, **HOW, hear=lambda _: None) as opened:
            assert [opened.takes(sop_class) for sop_class in CLASSES] == [False, True, False]
            assert opened.commits
        with sending(peer, CLASSES, **HOW) as opened:
            assert not opened.commits
        with pytest.raises(StoreRefusedError), sending(peer, [PICTURE.sop_class_uid], **HOW):
            pass


def test_a_report_on_the_association_of_the_request_is_taken() -> None:
    """A provider may report there before we release; nobody waits for it."""
    heard: list[CommitmentOutcome] = []
    events: list[evt.Event] = []
    with (
        report_pacs(ReportPacs(on_action=events.append), commits=True) as pacs,
        sending(pacs.destination().entity, CLASSES, **HOW, hear=heard.append) as opened,
    ):
        assert opened.ask_commitment("2.25.7", [ObjectReference(*REPORT)]) == 0x0000
        well_known = StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        answer, _ = events[0].assoc.send_n_event_report(event_information("2.25.7", [REPORT]), 1, *well_known)
        assert answer.Status == 0x0000
    assert heard == [CommitmentOutcome(AE_TITLE, "2.25.7", (ObjectReference(*REPORT),), {})]


def test_a_question_on_an_association_that_has_ended_is_an_unreachable_peer() -> None:
    """Whoever asks can tell that nothing was asked."""
    with (
        report_pacs(ReportPacs(on_action=lambda event: event.assoc.abort()), commits=True) as pacs,
        sending(pacs.destination().entity, CLASSES, **HOW, hear=lambda _: None) as opened,
    ):
        for _ in range(2):
            with pytest.raises(PeerUnreachableError):
                opened.ask_commitment("2.25.7", [ObjectReference(*REPORT)])
