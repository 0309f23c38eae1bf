"""A result on its way to a PACS."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread, uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import Comprehensive3DSRStorage

from dicom_io.identity import content_sha256
from dicom_io.report import derive_uid
from tests.results import (
    RESULT,
    STUDY,
    flag,
    flagged_result,
    prediction,
    screened_result,
    unscreened_result,
    waiting_result,
)
from tests.servers.certificates import Authority
from tests.servers.ports import LOOPBACK
from tests.servers.programs import require_program
from tests.servers.storescp import StartStoreScp
from worker.delivery.send import send
from worker.destinations import DicomDestination
from worker.domain import ScreeningResult
from worker.errors import DeliveryRefusedError, DeliveryRetryError, DestinationDownError
from worker.sections import TlsSettings

# pynetdicom drops the socket of a refused connection without closing it.
UNCLOSED = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")


def _destination(ae_title: str, port: int) -> DicomDestination:
    return DicomDestination(kind="dicom", name="pacs", ae_title=ae_title, host=LOOPBACK, port=port, timeout_seconds=5)


@pytest.mark.parametrize("result", [flagged_result(), screened_result(), unscreened_result(), waiting_result()])
def test_dcmtk_takes_the_report(result: ScreeningResult, storescp: StartStoreScp) -> None:
    """Storescp receives one SR of the study that dciodvfy finds no error in and dsrdump reads."""
    server = storescp()
    answer = send(result, _destination(server.ae_title, server.port), calling_ae_title="CXRTRIAGE")
    assert answer.answer == "stored, status 0x0000"
    (received,) = server.files()
    report = dcmread(received)
    assert (report.StudyInstanceUID, report.SOPInstanceUID) == (STUDY, derive_uid(RESULT, "sr"))
    verdict = subprocess.run(
        [require_program("dciodvfy", "dicom3tools"), "-new", received], capture_output=True, text=True, check=False
    )
    assert "Error" not in verdict.stderr
    dump = subprocess.run([require_program("dsrdump", "dcmtk"), received], capture_output=True, text=True, check=True)
    assert report.SeriesDescription in dump.stdout
    assert ("Certainty of Finding" in dump.stdout) is (result.flag.finding is not None)


def test_sending_again_sends_the_identical_object(storescp: StartStoreScp) -> None:
    """Two deliveries of one result carry the same bytes."""
    first, second = storescp(), storescp()
    for server in (first, second):
        send(flagged_result(), _destination(server.ae_title, server.port), calling_ae_title="CXRTRIAGE")
    assert content_sha256(first.files()[0]) == content_sha256(second.files()[0])


def test_a_report_goes_out_by_tls(storescp: StartStoreScp, tmp_path: Path) -> None:
    """DCMTK demands our certificate and is checked against its authority; a certificate that is gone is tried again."""
    hospital = Authority.make(tmp_path, "hospital")
    pacs, own = hospital.issue("pacs"), hospital.issue("cxr")
    server = storescp("+tls", str(pacs.key), str(pacs.certificate), "+cf", str(hospital.certificate))
    tls = TlsSettings(certificate=own.certificate, key=own.key, authorities=own.authorities)
    destination = _destination(server.ae_title, server.port).model_copy(update={"tls": tls})
    assert send(flagged_result(), destination, calling_ae_title="CXRTRIAGE").answer == "stored, status 0x0000"
    assert len(server.files()) == 1
    with pytest.raises(DeliveryRetryError):
        send(flagged_result(), _destination(server.ae_title, server.port), calling_ae_title="CXRTRIAGE")
    own.certificate.unlink()
    with pytest.raises(DeliveryRetryError, match=r"cxr\.pem: No such file"):
        send(flagged_result(), destination, calling_ae_title="CXRTRIAGE")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (0xA700, DeliveryRetryError),
        (0xA7FF, DeliveryRetryError),
        (0x0110, DeliveryRetryError),
        (0xA900, DeliveryRefusedError),
        (0xC000, DeliveryRefusedError),
        (0x0124, DestinationDownError),
        (0x0122, DestinationDownError),
    ],
)
def test_a_failure_is_tried_again_or_not(status: int, error: type[Exception]) -> None:
    """A peer out of resources is asked again; one that does not take the object is not."""
    entity = AE()
    entity.add_supported_context(Comprehensive3DSRStorage, uid.ExplicitVRLittleEndian)
    server = entity.start_server((LOOPBACK, 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda _: status)])
    try:
        with pytest.raises(error, match=f"0x{status:04X}"):
            send(flagged_result(), _destination("ANY", server.socket.getsockname()[1]), calling_ae_title="CXRTRIAGE")
    finally:
        server.shutdown()


def test_a_warning_is_a_delivery_and_is_told(storescp: StartStoreScp) -> None:
    """A peer that stores with a warning has taken the report; the answer says so."""
    entity = AE()
    entity.add_supported_context(Comprehensive3DSRStorage, uid.ImplicitVRLittleEndian)
    server = entity.start_server((LOOPBACK, 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda _: 0xB000)])
    try:
        destination = _destination("ANY", server.socket.getsockname()[1])
        answer = send(flagged_result(), destination, calling_ae_title="CXRTRIAGE")
    finally:
        server.shutdown()
    assert answer.answer == "stored with a warning, status 0xB000"


@UNCLOSED
def test_a_peer_that_is_down_is_asked_again(free_port: Callable[[], int]) -> None:
    """An unreachable PACS is no reason to give up."""
    with pytest.raises(DeliveryRetryError, match="does not answer"):
        send(flagged_result(), _destination("DOWN", free_port()), calling_ae_title="CXRTRIAGE")


def test_a_peer_that_stores_nothing_is_down() -> None:
    """A peer that takes a report in no form is set up wrongly: its flags wait, and are no dead letters."""
    entity = AE()
    entity.add_supported_context("1.2.840.10008.1.1")
    server = entity.start_server((LOOPBACK, 0), block=False)
    try:
        with pytest.raises(DestinationDownError, match="takes no such object"):
            send(flagged_result(), _destination("ANY", server.socket.getsockname()[1]), calling_ae_title="CXRTRIAGE")
    finally:
        server.shutdown()


def test_a_png_has_no_report_to_send(free_port: Callable[[], int]) -> None:
    """A result without a DICOM source is refused before anybody is called."""
    result = ScreeningResult(flag=flag(prediction(uid=None, flagged=True)))
    with pytest.raises(DeliveryRefusedError, match="No structured report"):
        send(result, _destination("DOWN", free_port()), calling_ae_title="CXRTRIAGE")
