"""The one way out: hands a result to the module of the destination's kind."""

from worker.delivery import dicom, folder
from worker.domain import ScreeningResult
from worker.sections import Destination, FolderDestination


def send(result: ScreeningResult, destination: Destination, *, calling_ae_title: str) -> str:
    """Deliver a result; sending it again delivers the identical objects.

    Args:
        result: what is sent.
        destination: where to.
        calling_ae_title: how we call ourselves towards DICOM peers.

    Returns:
        A short answer of the destination for the audit trail, without anything about the patient.

    Raises:
        DestinationDownError: if the destination could not be reached or takes nothing at present.
        DeliveryRetryError: if it asked to try this object later.
        DeliveryRefusedError: if it will not take this object.
    """
    if isinstance(destination, FolderDestination):
        return folder.send(result, destination)
    return dicom.send(result, destination, calling_ae_title=calling_ae_title)
