"""What a destination `dicom` gets beside the report: the heatmaps of a flagged result."""

from collections.abc import Iterator, Sequence

from pydicom import Dataset

from dicom_io.errors import PeerUnreachableError, StoreRefusedError, TlsFilesError
from dicom_io.sending import Sending, sending
from worker.delivery.heatmap import Heatmaps, build_heatmaps
from worker.destinations import DicomDestination
from worker.domain import ScreeningResult


def send_heatmaps(result: ScreeningResult, destination: DicomDestination, *, calling_ae_title: str) -> str:
    """Send the heatmaps of a result whose report the peer has taken, on an association of their own.

    What the peer refuses, and an association that breaks, is no fault of the delivery: the report is what must arrive,
    and what follows it, a withdrawal maybe, must not wait for pictures.

    Returns:
        What became of them, for the receipt; empty for a result without evidence.
    """
    if not result.evidence:
        return ""
    heatmaps = build_heatmaps(result)
    try:
        refusals = _send(heatmaps.objects, destination, calling_ae_title) if heatmaps.objects else []
    except (PeerUnreachableError, TlsFilesError) as error:
        return f"activation maps: none taken for certain: {error}"
    return f"activation maps: {', '.join(_told(heatmaps, refusals))}"


def _send(objects: Sequence[Dataset], destination: DicomDestination, calling_ae_title: str) -> list[str]:
    """Send what the peer takes; returns why it refused each of the others."""
    classes = list(dict.fromkeys(str(item.SOPClassUID) for item in objects))
    try:
        with sending(
            destination.entity, classes, calling_ae_title=calling_ae_title, timeout_seconds=destination.timeout_seconds
        ) as opened:
            answers = [_refusal(opened, item) for item in objects]
    except StoreRefusedError as error:  # it takes none of the SOP classes
        return [str(error)] * len(objects)
    return [answer for answer in answers if answer is not None]


def _refusal(opened: Sending, item: Dataset) -> str | None:
    try:
        opened.store(item)
    except StoreRefusedError as error:
        return str(error)
    return None


def _told(heatmaps: Heatmaps, refusals: Sequence[str]) -> Iterator[str]:
    yield f"{len(heatmaps.objects) - len(refusals)} of {len(heatmaps.objects)} objects stored"
    if refusals:
        yield f"refused: {' '.join(dict.fromkeys(refusals))}"
    if heatmaps.left_out:
        yield f"{heatmaps.left_out} of the frames left out, as film or map are not stored any more"
