"""The destination `dicom`: the structured report by C-STORE."""

from dicom_io.errors import PeerUnreachableError, StoreRefusedError, TlsFilesError
from dicom_io.scu import SUCCESS, store
from worker.delivery.reporting import structured_report
from worker.domain import ScreeningResult
from worker.errors import DeliveryRefusedError, DeliveryRetryError
from worker.sections import DicomDestination

_PROCESSING_FAILURE = 0x0110


def send(result: ScreeningResult, destination: DicomDestination, *, calling_ae_title: str) -> str:
    """Send the structured report of a result.

    Returns:
        The status that the peer answered.

    Raises:
        DeliveryRetryError: if the peer cannot be reached, is out of resources or failed on its side, or our certificate
            cannot be used.
        DeliveryRefusedError: if it does not take the object, or the result has no DICOM source image.
    """
    peer, report = destination.peer, structured_report(result)
    try:
        statuses = store(peer, [report], calling_ae_title=calling_ae_title, timeout_seconds=destination.timeout_seconds)
    except (PeerUnreachableError, TlsFilesError) as error:
        raise DeliveryRetryError(str(error)) from error
    except StoreRefusedError as error:
        raise (DeliveryRetryError if _may_pass(error.status) else DeliveryRefusedError)(str(error)) from error
    warning = "" if statuses == [SUCCESS] else " with a warning"
    return f"stored{warning}, status 0x{statuses[0]:04X}"


def _may_pass(status: int | None) -> bool:
    """Tell whether the same object may be taken later: 0xA7xx is out of resources (PS3.4 B.2.3)."""
    return status is not None and (status >> 8 == 0xA7 or status == _PROCESSING_FAILURE)
