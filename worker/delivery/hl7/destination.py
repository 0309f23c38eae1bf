"""The destination `hl7`: an ORU^R01 by MLLP, and what its acknowledgement means."""

from worker.delivery.hl7.acknowledgement import Acknowledgement, Verdict, parse_acknowledgement
from worker.delivery.hl7.message import build_message
from worker.delivery.hl7.mllp import exchange
from worker.destinations import Hl7Destination
from worker.domain import ScreeningResult
from worker.errors import DeliveryRefusedError, DeliveryRetryError, DestinationDownError, TriageError
from worker.receipt import Receipt

_REFUSALS: dict[Verdict, type[TriageError]] = {
    Verdict.RETRY: DeliveryRetryError,
    Verdict.DOWN: DestinationDownError,
    Verdict.REFUSED: DeliveryRefusedError,
}


def send(result: ScreeningResult, destination: Hl7Destination) -> Receipt:
    """Send the message of a result and read its acknowledgement.

    Returns:
        The code that the receiver answered.

    Raises:
        DestinationDownError: if it cannot be reached, does not answer, answers what is no acknowledgement, or rejects
            what every message of ours says.
        DeliveryRetryError: if it answers with an error, rejects without saying why, or acknowledges another message.
        DeliveryRefusedError: if it rejects the content, or the result has no DICOM source image.
    """
    message = build_message(result, destination)
    answer = parse_acknowledgement(exchange(message.encoded, destination))
    if answer is None:
        raise DestinationDownError(
            f"{destination.host}:{destination.port} answered something that is no HL7 acknowledgement"
        )
    _require_acceptance(answer, message.control_id)
    return Receipt(f"accepted, {answer}")


def _require_acceptance(answer: Acknowledgement, control_id: str) -> None:
    if answer.control_id != control_id:
        raise DeliveryRetryError(f"{answer}, but of another message than the one that was sent")
    if answer.verdict is not Verdict.ACCEPTED:
        raise _REFUSALS[answer.verdict](f"not accepted, {answer}")
