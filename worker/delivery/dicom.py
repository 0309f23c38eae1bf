"""The destination `dicom`: the structured report by C-STORE."""

from dicom_io.errors import PeerUnreachableError, StoreRefusedError, TlsFilesError
from dicom_io.report import ReportForm
from dicom_io.scu import SUCCESS, store
from worker.delivery.reporting import structured_report
from worker.destinations import DicomDestination
from worker.domain import ScreeningResult
from worker.errors import DeliveryRefusedError, DeliveryRetryError, DestinationDownError
from worker.receipt import Receipt

_PROCESSING_FAILURE = 0x0110


def send(result: ScreeningResult, destination: DicomDestination, *, calling_ae_title: str) -> Receipt:
    """Send the structured report of a result.

    Returns:
        The status that the peer answered, and the form of the report.

    Raises:
        DestinationDownError: if the peer cannot be reached or is out of resources, or our certificate cannot be used.
        DeliveryRetryError: if it failed on its side.
        DeliveryRefusedError: if it does not take the object, or the result has no DICOM source image.
    """
    peer, report = destination.entity, structured_report(result)
    try:
        statuses = store(peer, [report], calling_ae_title=calling_ae_title, timeout_seconds=destination.timeout_seconds)
    except (PeerUnreachableError, TlsFilesError) as error:
        raise DestinationDownError(str(error)) from error
    except StoreRefusedError as error:
        raise _told(error.status)(str(error)) from error
    warning = "" if statuses == [SUCCESS] else " with a warning"
    return Receipt(f"stored{warning}, status 0x{statuses[0]:04X}", ReportForm.COMPREHENSIVE_3D_SR)


def _told(status: int | None) -> type[DeliveryRetryError | DeliveryRefusedError]:
    """Return what a failure status says of the object and of the peer: 0xA7xx is out of resources (PS3.4 B.2.3)."""
    if status is not None and status >> 8 == 0xA7:
        return DestinationDownError
    return DeliveryRetryError if status == _PROCESSING_FAILURE else DeliveryRefusedError
