"""A PACS gets the report in the best form that it takes, and is asked to commit to it."""

import threading
import time
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import evt

from dicom_io.report import ReportForm, derive_uid
from tests.report_pacs import ReportPacs, report_pacs
from tests.results import RESULT, flagged_result
from tests.servers.storescp import StartStoreScp
from worker.delivery.send import send
from worker.destinations import DicomDestination
from worker.dispatch import Dispatch
from worker.errors import DeliveryRefusedError, DeliveryRetryError, DestinationDownError
from worker.receipt import Receipt

BEST, SECOND, PICTURE = ReportForm
UNSUPPORTED = 0x0122


def deliver(destination: DicomDestination, dispatch: Dispatch | None = None) -> Receipt:
    """Send a flagged result."""
    return send(flagged_result(), destination, calling_ae_title="CXRTRIAGE", dispatch=dispatch or Dispatch())


@pytest.mark.parametrize(
    ("classes", "form"), [((BEST, SECOND, PICTURE), BEST), ((SECOND, PICTURE), SECOND), ((PICTURE,), PICTURE)]
)
def test_dcmtk_gets_the_best_form_that_its_configuration_lets_in(
    classes: tuple[ReportForm, ...], form: ReportForm, storescp: StartStoreScp, tmp_path: Path
) -> None:
    """Storescp with a negotiation profile of fewer SOP classes is sent one object, of the best one of them."""
    profile = tmp_path / "profile.cfg"
    contexts = [f"PresentationContext{n} = {one.sop_class_uid}\\Uncompressed" for n, one in enumerate(classes, 1)]
    syntaxes = "TransferSyntax1 = LocalEndianExplicit\nTransferSyntax2 = LittleEndianImplicit"
    profile.write_text(
        f"[[TransferSyntaxes]]\n[Uncompressed]\n{syntaxes}\n[[PresentationContexts]]\n[Few]\n"
        + "\n".join(contexts)
        + "\n[[Profiles]]\n[Limited]\nPresentationContexts = Few\n"
    )
    server = storescp("--config-file", str(profile), "Limited")
    destination = DicomDestination(
        kind="dicom", name="pacs", ae_title=server.ae_title, host=server.host, port=server.port, timeout_seconds=5
    )
    receipt = deliver(destination)
    assert (receipt.form, receipt.refused, receipt.answer) == (form, (), "stored, status 0x0000")
    (received,) = server.files()
    stored = dcmread(received)
    assert (stored.SOPClassUID, stored.SOPInstanceUID) == (form.sop_class_uid, derive_uid(RESULT, form.kind))
    assert stored.SeriesDescription == "AI TRIAGE: HIGH"


@pytest.mark.parametrize("status", [UNSUPPORTED, 0xA800, 0xA900, 0xC000, 0xCFFF])
def test_a_refused_object_gives_way_to_the_next_form_on_the_same_association(status: int) -> None:
    """A peer that negotiates a class and then refuses the object is sent the next one; a class it refused is told."""
    with report_pacs(ReportPacs(statuses={BEST: status, SECOND: status})) as pacs:
        receipt = deliver(pacs.destination())
    assert (pacs.stored, pacs.associations) == ([BEST, SECOND, PICTURE], 1)
    assert (receipt.form, receipt.refused) == (PICTURE, (BEST, SECOND) if status == UNSUPPORTED else ())


@pytest.mark.parametrize(
    ("status", "attempt", "error"),
    [
        (0xA700, 9, DestinationDownError),
        (0x0124, 9, DestinationDownError),
        (0x0110, 1, DeliveryRetryError),
        (0x0110, 2, DeliveryRetryError),
    ],
)
def test_a_peer_that_fails_on_its_side_is_sent_no_lesser_form(
    status: int, attempt: int, error: type[Exception]
) -> None:
    """No room now is no reason to file a picture for ever, and who may not store may store no picture."""
    with report_pacs(ReportPacs(statuses={BEST: status})) as pacs, pytest.raises(error, match=f"0x{status:04X}"):
        deliver(pacs.destination(), Dispatch(attempt=attempt))
    assert pacs.stored == [BEST]


def test_a_peer_that_fails_at_a_form_again_and_again_is_sent_the_next_one() -> None:
    """A flag in a lesser form is better than none; it is this report's, nothing is learned of the peer."""
    with report_pacs(ReportPacs(statuses={BEST: 0x0110})) as pacs:
        receipt = deliver(pacs.destination(), Dispatch(attempt=3))
    assert (pacs.stored, receipt.form, receipt.refused) == ([BEST, SECOND], SECOND, ())
    failing = ReportPacs(statuses=dict.fromkeys(ReportForm, 0x0110))
    with report_pacs(failing), pytest.raises(DeliveryRetryError, match="0x0110"):
        deliver(failing.destination(), Dispatch(attempt=3))
    assert failing.stored == [BEST, SECOND, PICTURE]


def test_a_peer_that_crashes_at_a_form_gets_the_next_one() -> None:
    """In the first attempts it may be the peer or the network: it is down. Nothing is learned of it afterwards."""
    with report_pacs(ReportPacs(crashes_at=(BEST,))) as pacs:
        with pytest.raises(DestinationDownError, match="broke the association"):
            deliver(pacs.destination(), Dispatch(attempt=2))
        receipt = deliver(pacs.destination(), Dispatch(attempt=3))
    assert (pacs.stored, pacs.associations) == ([BEST, BEST, SECOND], 3)
    assert (receipt.form, receipt.refused) == (SECOND, ())
    crashing = ReportPacs(crashes_at=tuple(ReportForm))
    with report_pacs(crashing), pytest.raises(DestinationDownError, match="broke the association"):
        deliver(crashing.destination(), Dispatch(attempt=3))
    assert crashing.stored == [BEST, SECOND, PICTURE]


def test_a_report_that_is_there_already_is_delivered() -> None:
    """An attempt whose answer was lost has stored it: no dead letter, and no second object in another form."""
    with report_pacs(ReportPacs(statuses={BEST: 0x0111})) as pacs:
        receipt = deliver(pacs.destination())
    assert (pacs.stored, receipt.form, receipt.answer) == ([BEST], BEST, "stored before, status 0x0111")


def test_a_peer_that_refuses_every_form_is_not_asked_again() -> None:
    """Its last refusal is the error of the dead letter."""
    pacs = ReportPacs(statuses=dict.fromkeys(ReportForm, 0xC001))
    with report_pacs(pacs), pytest.raises(DeliveryRefusedError, match="0xC001"):
        deliver(pacs.destination())
    assert pacs.stored == [BEST, SECOND, PICTURE]


def test_a_peer_that_supports_no_form_makes_no_dead_letter_of_every_flag() -> None:
    """That is no fault of this object: the destination is down until somebody mends its settings or ours."""
    pacs = ReportPacs(statuses=dict.fromkeys(ReportForm, UNSUPPORTED))
    with report_pacs(pacs), pytest.raises(DestinationDownError, match="0x0122"):
        deliver(pacs.destination())
    assert pacs.stored == [BEST, SECOND, PICTURE]


def test_a_peer_that_takes_storage_commitment_only_takes_no_report() -> None:
    """It accepts the association, and none of the forms; its flags wait until it does."""
    with report_pacs(ReportPacs(), forms=()) as pacs, pytest.raises(DestinationDownError, match="no structured report"):
        deliver(pacs.destination(), Dispatch(transaction_uid="2.25.7", hear=lambda _: None))
    assert (pacs.stored, pacs.associations) == ([], 1)


def test_a_peer_that_hangs_up_with_its_refusal_is_called_again() -> None:
    """The next form goes out on a new association."""
    pacs = ReportPacs(statuses={BEST: UNSUPPORTED}, hangs_up_on=BEST)
    with report_pacs(pacs):
        receipt = deliver(pacs.destination())
    assert (pacs.stored, pacs.associations) == ([BEST, SECOND], 2)
    assert (receipt.form, receipt.refused) == (SECOND, (BEST,))


def test_what_was_refused_lately_is_left_out_unless_nothing_else_is_taken() -> None:
    """No object is sent in vain for a week; a peer that takes nothing else any more gets it tried all the same."""
    lately = Dispatch(refused_lately=(BEST,))
    with report_pacs(ReportPacs(statuses={BEST: UNSUPPORTED})) as pacs:
        receipt = deliver(pacs.destination(), lately)
    assert (pacs.stored, receipt.form, receipt.refused) == ([SECOND], SECOND, (BEST,))
    with report_pacs(ReportPacs(), forms=(BEST,)) as pacs:
        receipt = deliver(pacs.destination(), lately)
    assert (pacs.stored, receipt.form, receipt.refused) == ([BEST], BEST, ())


@pytest.mark.parametrize("form", list(ReportForm))
def test_a_peer_that_commits_is_asked_for_what_it_was_sent(form: ReportForm) -> None:
    """One N-ACTION names the object in the form that was taken."""
    with report_pacs(ReportPacs(), forms=(form,), commits=True) as pacs:
        receipt = deliver(pacs.destination(), Dispatch(transaction_uid="2.25.7", hear=lambda _: None))
    assert pacs.asked == [("2.25.7", form.sop_class_uid, derive_uid(RESULT, form.kind))]
    assert (receipt.transaction_uid, receipt.answer) == (
        "2.25.7",
        "stored, status 0x0000; asked for storage commitment",
    )


@pytest.mark.parametrize("commits", [True, False])
def test_nobody_is_asked_who_does_not_offer_it_or_whom_we_shall_not_ask(commits: bool) -> None:
    """No Transaction UID, no question; no presentation context, no question."""
    dispatch = Dispatch() if commits else Dispatch(transaction_uid="2.25.7", hear=lambda _: None)
    with report_pacs(ReportPacs(), commits=commits) as pacs:
        receipt = deliver(pacs.destination(), dispatch)
    assert (pacs.asked, receipt.transaction_uid, receipt.answer) == ([], None, "stored, status 0x0000")


def test_a_refused_request_leaves_the_report_delivered() -> None:
    """The status stands in the answer, and no report is waited for."""
    with report_pacs(ReportPacs(action_status=0x0213), commits=True) as pacs:
        receipt = deliver(pacs.destination(), Dispatch(transaction_uid="2.25.7", hear=lambda _: None))
    assert receipt.transaction_uid is None
    assert receipt.answer == "stored, status 0x0000; storage commitment refused, status 0x0213"


def _abort(event: evt.Event) -> None:
    event.assoc.abort()


def test_a_request_that_is_never_answered_leaves_the_report_delivered() -> None:
    """The peer has the report; a report of commitment may come all the same."""
    with report_pacs(ReportPacs(on_action=_abort), commits=True) as pacs:
        receipt = deliver(pacs.destination(), Dispatch(transaction_uid="2.25.7", hear=lambda _: None))
    assert (receipt.transaction_uid, receipt.form) == ("2.25.7", BEST)
    assert receipt.answer == "stored, status 0x0000; asked for storage commitment, no answer"


def test_a_request_that_hangs_holds_up_the_next_flag_for_seconds_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the peer may take for its other answers: the report is there, and its outcome comes by itself."""
    monkeypatch.setattr("worker.delivery.dicom._COMMITMENT_SECONDS", 0.2)
    ended = threading.Event()

    def hang(_event: evt.Event) -> None:
        ended.wait(30)

    with report_pacs(ReportPacs(on_action=hang), commits=True) as pacs:
        started = time.monotonic()
        receipt = deliver(pacs.destination(timeout_seconds=30), Dispatch(transaction_uid="2.25.7", hear=lambda _: None))
        took = time.monotonic() - started
        ended.set()
    assert (receipt.transaction_uid, receipt.form) == ("2.25.7", BEST)
    assert receipt.answer.endswith("asked for storage commitment, no answer")
    assert took < 15
