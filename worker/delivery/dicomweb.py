"""The destination `dicomweb`: the structured report by STOW-RS (PS3.18 10.5)."""

import base64
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from typing import Any

import requests
from dicomweb_client.web import DICOMwebClient
from pydicom import Dataset, dcmread

from dicom_io.part10 import tolerant
from dicom_io.report import ReportForm
from worker.delivery.http import exchange
from worker.delivery.http_answer import Answer, origin, require_success
from worker.delivery.reporting import encode_file, structured_report
from worker.delivery.stow_answer import read_stow_answer
from worker.destinations import DicomwebDestination
from worker.domain import ScreeningResult
from worker.errors import DeliveryRefusedError, DeliveryRetryError, DestinationDownError
from worker.receipt import Receipt

_OK, _ACCEPTED, _CONFLICT = 200, 202, 409
_PROCESSING_FAILURE = 0x0110
_ANSWER = "application/dicom+json"


def send(result: ScreeningResult, destination: DicomwebDestination) -> Receipt:
    """Store the structured report of a result; the server's list of failures is read, not its status alone.

    Returns:
        The status, with the warning reason if there is one, and the form of the report.

    Raises:
        DestinationDownError: if there is no whole STOW-RS answer in time, for the statuses of `require_success`, and if
            the server is out of resources (failure reason 0xA7xx).
        DeliveryRetryError: if it failed on its side (0x0110), or answers 202 and does not name the report.
        DeliveryRefusedError: for every other failure reason or 4xx, or if the result has no DICOM source image.
    """
    report = structured_report(result)
    answer = store(encode_file(report), destination)
    return Receipt(_judge(answer, str(report.SOPInstanceUID), destination), ReportForm.COMPREHENSIVE_3D_SR)


def store(file: bytes, destination: DicomwebDestination) -> Answer:
    """Send one DICOM file (PS3.10), these very bytes, to `/studies`.

    Raises:
        DestinationDownError: if there is no whole answer in time.
    """
    answers: list[Answer] = []

    def keep(response: requests.Response, **_: Any) -> None:
        answers.append(Answer.of(response))
        # The client would read no list of failures beside an error status, and none whose type has parameters.
        response.headers["Content-Type"] = ""

    with exchange(destination, {"Accept": _ANSWER, **authorization(destination)}) as session:
        url, seconds = destination.url.rstrip("/"), destination.timeout_seconds
        client = DICOMwebClient(url, session=session, callback=keep, timeout=seconds)
        client.set_http_retry_params(retry=False)  # the outbox does
        with suppress(requests.HTTPError):
            client.store_instances(_as_it_is(file))
    return answers[0]


def _as_it_is(file: bytes) -> Iterator[Dataset]:
    # The client encodes what it takes from here before it asks for more: so long pydicom looks at no value.
    with tolerant():
        yield dcmread(BytesIO(file))


def authorization(destination: DicomwebDestination) -> dict[str, bytes]:
    """Return the header that lets us in, if the settings hold a credential: RFC 6750 2.1, RFC 7617 2."""
    if destination.token is not None:
        return {"Authorization": b"Bearer " + destination.token.get_secret_value().encode()}
    if destination.user is not None and destination.password is not None:
        pair = f"{destination.user}:{destination.password.get_secret_value()}"
        return {"Authorization": b"Basic " + base64.b64encode(pair.encode())}
    return {}


def _judge(answer: Answer, sop_instance_uid: str, destination: DicomwebDestination) -> str:
    """Say what became of an object: PS3.18 10.5.3."""
    if answer.status != _CONFLICT:
        require_success(answer, destination)
    where, told = origin(destination), read_stow_answer(answer.media_type, answer.body)
    if told is not None and sop_instance_uid in told.failed:
        raise _failure(told.failed[sop_instance_uid], where)
    if answer.status == _CONFLICT:
        raise DeliveryRefusedError(f"{where} did not store the report, status 409 without a reason")
    if told is None or answer.status not in (_OK, _ACCEPTED):
        raise DestinationDownError(f"{where} gave no STOW-RS answer, status {answer.status}: is it the right url?")
    if sop_instance_uid in told.stored:
        warning = told.stored[sop_instance_uid]
        return f"stored, status {answer.status}" + ("" if warning is None else f", warning reason 0x{warning:04X}")
    if answer.status == _ACCEPTED:
        raise DeliveryRetryError(f"{where} answered status 202 and does not say what became of the report")
    return "stored, status 200, which does not name the report"


def _failure(reason: int | None, where: str) -> DeliveryRetryError | DeliveryRefusedError:
    """Tell a failure reason that passes from one that does not: PS3.18 I.2.2."""
    if reason is None:
        return DeliveryRefusedError(f"{where} did not store the report and gives no reason")
    message = f"{where} did not store the report, failure reason 0x{reason:04X}"
    if reason >> 8 == 0xA7:
        return DestinationDownError(f"{message}: out of resources")
    return DeliveryRetryError(message) if reason == _PROCESSING_FAILURE else DeliveryRefusedError(message)
