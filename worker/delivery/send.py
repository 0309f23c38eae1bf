"""The one way out: hands a result to the module of the destination's kind."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import assert_never

from worker.delivery import dicom, dicomweb, folder, webhook
from worker.delivery.beside import send_heatmaps
from worker.delivery.hl7 import destination as hl7
from worker.destinations import (
    Destination,
    DicomDestination,
    DicomwebDestination,
    FolderDestination,
    Hl7Destination,
    WebhookDestination,
)
from worker.dispatch import PLAIN, Dispatch
from worker.domain import ScreeningResult
from worker.receipt import Receipt


def _utc_now() -> datetime:
    return datetime.now(UTC)


def send(
    result: ScreeningResult,
    destination: Destination,
    *,
    calling_ae_title: str,
    dispatch: Dispatch = PLAIN,
    now: Callable[[], datetime] = _utc_now,
) -> Receipt:
    """Deliver a result; sending it again delivers the identical objects.

    Args:
        result: what is sent.
        destination: where to.
        calling_ae_title: how we call ourselves towards DICOM peers.
        dispatch: what is known of the destination, and whether storage commitment is asked for.
        now: the clock, for what says when it was sent.

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
            receipt = dicom.send(result, destination, calling_ae_title=calling_ae_title, dispatch=dispatch)
            beside = send_heatmaps(result, destination, calling_ae_title=calling_ae_title)
            return replace(receipt, answer="; ".join(filter(None, (receipt.answer, beside))))
        case Hl7Destination():
            return hl7.send(result, destination)
        case DicomwebDestination():
            return dicomweb.send(result, destination)
        case WebhookDestination():
            return webhook.send(result, destination, now=now())
        case _:
            assert_never(destination)
