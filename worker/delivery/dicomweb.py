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
# Failure reasons: PS3.7 C.5 and PS3.18 I.2.2.
_PROCESSING_FAILURE = 0x0110
_OUT_OF_RESOURCES = "out of resources"
_EVERY_REPORT = {0x0122: "SOP class not supported", 0x0124: "not authorized", 0x0213: _OUT_OF_RESOURCES}
# It has the instance, or another request is storing it; the last two are Azure's 45070 and 45071.
_DUPLICATE, _AZURE_DUPLICATE, _AZURE_STORING = 0x0111, 0xB00E, 0xB00F
_ANSWER = "application/dicom+json"


def send(result: ScreeningResult, destination: DicomwebDestination) -> Receipt:
    """Store the structured report of a result; the server's list of failures is read, not its status alone.

    Returns:
        The status, with the warning reason if there is one, and the form of the report.

    Raises:
        DestinationDownError: if there is no whole STOW-RS answer in time, for the statuses of `require_success`, and if
            the server is out of resources (failure reason 0xA7xx, 0x0213), does not let us store (0x0124) or takes no
            such reports (0x0122).
        DeliveryRetryError: if it failed on its side (0x0110), is storing it (0xB00F), gives no reason, or answers 202
            and does not name the report.
        DeliveryRefusedError: for every other failure reason, 413, 422, or if the result has no DICOM source image.
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
        return _judge_failure(told.failed[sop_instance_uid], answer, where)
    if answer.status == _CONFLICT:
        raise DeliveryRetryError(f"{where} did not store the report, status 409 without a reason")
    if told is None or answer.status not in (_OK, _ACCEPTED):
        raise DestinationDownError(f"{where} gave no STOW-RS answer, status {answer.status}: is it the right url?")
    if sop_instance_uid in told.stored:
        warning = told.stored[sop_instance_uid]
        return f"stored, status {answer.status}" + ("" if warning is None else f", warning reason 0x{warning:04X}")
    if answer.status == _ACCEPTED:
        raise DeliveryRetryError(f"{where} answered status 202 and does not say what became of the report")
    return "stored, status 200, which does not name the report"


def _judge_failure(reason: int | None, answer: Answer, where: str) -> str:
    """Tell a failure reason that passes, or that says no more than that it has the report, from others: PS3.18 I.2.2.

    Returns:
        That the report was there: under its UID it can only be ours, of a sending whose answer was lost.
    """
    if reason is None:
        raise DeliveryRetryError(f"{where} did not store the report and gives no reason")
    if reason in (_DUPLICATE, _AZURE_DUPLICATE):
        return f"stored before, status {answer.status}, failure reason 0x{reason:04X}"
    message = f"{where} did not store the report, failure reason 0x{reason:04X}"
    every = _OUT_OF_RESOURCES if reason >> 8 == 0xA7 else _EVERY_REPORT.get(reason)
    if every is not None:
        raise DestinationDownError(f"{message}: {every}")
    raise (DeliveryRetryError if reason in (_PROCESSING_FAILURE, _AZURE_STORING) else DeliveryRefusedError)(message)
