"""The destination `webhook`: the JSON flag by a signed POST."""

import hashlib
import hmac
from datetime import datetime

from worker.delivery.http import exchange
from worker.delivery.http_answer import Answer, require_success
from worker.destinations import WebhookDestination
from worker.domain import ScreeningResult
from worker.receipt import Receipt


def send(result: ScreeningResult, destination: WebhookDestination, *, now: datetime) -> Receipt:
    """Post the JSON flag of a result; any status from 200 to 299 means accepted, unless with a page for people.

    The receiver takes a flag once per `Idempotency-Key`, which is the same however often the flag is sent. It verifies
    `X-CXR-Triage-Signature` with the secret, and that `X-CXR-Triage-Timestamp` (seconds since 1970) is of late.

    Returns:
        The status; never a word of the answer.

    Raises:
        DestinationDownError: if there is no whole answer in time, or one that says nothing of this flag: a redirect, a
            page, 5xx, and every 4xx but those below.
        DeliveryRetryError: for 409: the receiver is still at work on an earlier sending.
        DeliveryRefusedError: for 413 and 422.
    """
    body, timestamp = result.flag.to_json().encode(), str(int(now.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": _idempotency_key(result),
        "X-CXR-Triage-Timestamp": timestamp,
        "X-CXR-Triage-Signature": f"sha256={_signature(destination, timestamp, body)}",
    }
    with exchange(destination, headers) as session:
        answer = Answer.of(session.post(destination.url, data=body))
    require_success(answer, destination)
    return Receipt(f"accepted, status {answer.status}")


def _idempotency_key(result: ScreeningResult) -> str:
    """Name what is sent: after a correction of the patient's or the study's attributes it is sent under a new name."""
    uid = result.flag.result_uid
    return f"{uid}/{result.corrections}" if result.corrections else uid


def _signature(destination: WebhookDestination, timestamp: str, body: bytes) -> str:
    """Sign time and body, so that neither a flag of another's making nor an old one is taken for new. RFC 2104."""
    key = destination.secret.get_secret_value().encode()
    return hmac.new(key, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
