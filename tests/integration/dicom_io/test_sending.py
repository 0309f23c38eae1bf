"""An association on which is known what the peer takes, and on which it may report at once."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from pynetdicom import AE, evt
from pynetdicom.pdu import A_RELEASE_RQ
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from dicom_io.commitment import ObjectReference
from dicom_io.commitment_outcome import CommitmentOutcome
from dicom_io.errors import PeerUnreachableError, StoreRefusedError
from dicom_io.report import ReportForm
from dicom_io.sending import sending
from tests.report_pacs import AE_TITLE, ReportPacs, event_information, report_pacs
from tests.servers.ports import LOOPBACK
from tests.servers.rude import ABORT_PDU

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
        assert opened.ask_commitment("2.25.7", [ObjectReference(*REPORT)], timeout_seconds=2) == 0x0000
        well_known = StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        answer, _ = events[0].assoc.send_n_event_report(event_information("2.25.7", [REPORT]), 1, *well_known)
        assert answer.Status == 0x0000
    assert heard == [CommitmentOutcome(AE_TITLE, "2.25.7", (ObjectReference(*REPORT),), {})]


def test_a_peer_that_aborts_what_we_propose_is_told_from_one_that_is_not_there() -> None:
    """It may not bear a presentation context, which the operator can leave out: it is up, and its log says more."""
    with socket.create_server((LOOPBACK, 0)) as listening, ThreadPoolExecutor(1) as threads:

        def abort() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(ABORT_PDU)
                connection.recv(1 << 16)

        aborted = threads.submit(abort)
        peer = ReportPacs(port=listening.getsockname()[1]).destination().entity
        with (
            pytest.raises(PeerUnreachableError, match="aborted the association at once"),
            sending(peer, CLASSES, **HOW),
        ):
            pass
        aborted.result()


def test_a_peer_that_never_releases_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sent is taken: the next flag does not wait as long as an answer may take."""
    monkeypatch.setattr("dicom_io.associating._RELEASE_SECONDS", 0.2)
    ended = threading.Event()

    def hang(event: evt.Event) -> None:
        if isinstance(event.pdu, A_RELEASE_RQ):
            ended.wait(30)

    entity = AE()
    entity.add_supported_context(CLASSES[0])
    server = entity.start_server((LOOPBACK, 0), block=False, evt_handlers=[(evt.EVT_PDU_RECV, hang)])
    peer = ReportPacs(port=server.socket.getsockname()[1]).destination().entity
    started = time.monotonic()
    try:
        with sending(peer, CLASSES, calling_ae_title="CXRTRIAGE", timeout_seconds=30) as opened:
            assert opened.takes(CLASSES[0])
        took = time.monotonic() - started
    finally:
        ended.set()
        server.shutdown()
    assert took < 15


def test_a_question_on_an_association_that_has_ended_is_an_unreachable_peer() -> None:
    """Whoever asks can tell that nothing was asked."""
    with (
        report_pacs(ReportPacs(on_action=lambda event: event.assoc.abort()), commits=True) as pacs,
        sending(pacs.destination().entity, CLASSES, **HOW, hear=lambda _: None) as opened,
    ):
        for _ in range(2):
            with pytest.raises(PeerUnreachableError):
                opened.ask_commitment("2.25.7", [ObjectReference(*REPORT)], timeout_seconds=2)
