"""The one way out: hands a result to the module of the destination's kind."""

from worker.delivery import dicom, folder
from worker.delivery.hl7 import destination as hl7
from worker.destinations import Destination, DicomDestination, FolderDestination, Hl7Destination
from worker.domain import ScreeningResult
from worker.errors import DeliveryRetryError
from worker.receipt import Receipt


def send(result: ScreeningResult, destination: Destination, *, calling_ae_title: str) -> Receipt:
    """Deliver a result; sending it again delivers the identical objects.

    Args:
        result: what is sent.
        destination: where to.
        calling_ae_title: how we call ourselves towards DICOM peers.

    Returns:
        What the destination answered.

    Raises:
        DestinationDownError: if the destination could not be reached or takes nothing at present.
        DeliveryRetryError: if it asked to try this object later.
        DeliveryRefusedError: if it will not take this object.
    """
    match destination:
        case FolderDestination():
            return folder.send(result, destination)
        case DicomDestination():
            return dicom.send(result, destination, calling_ae_title=calling_ae_title)
        case Hl7Destination():
            return hl7.send(result, destination)
        case _:
            raise DeliveryRetryError(f"destinations of the kind {destination.kind} are not written yet")
