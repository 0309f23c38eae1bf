"""The message ORU^R01 of a screening result (HL7 v2.5.1 7.3.1: MSH, PID, OBR, OBX).

No ORC: we neither place nor change an order, and the segment is optional in an ORU.
"""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from worker.delivery.hl7 import values
from worker.delivery.hl7.encoding import SEGMENT_END, compose, encode
from worker.delivery.hl7.observations import observations
from worker.delivery.hl7.segments import segment
from worker.delivery.hl7.source import Source
from worker.destinations import Hl7Destination
from worker.domain import ScreeningResult, ScreeningStatus
from worker.errors import DeliveryRefusedError

# The structured report says it in a code of CID 100, which has none for the chest.
_PLAIN_CHEST_X_RAY = Code("399208008", "SCT", "Plain X-ray of chest")
_RADIOLOGY = "RAD"  # HL7 table 0074


@dataclass(frozen=True, slots=True)
class Message:
    """A message that is ready to be sent.

    Attributes:
        control_id: MSH-10, which the acknowledgement repeats.
        encoded: in the character set of MSH-18, each segment ended by a carriage return.
    """

    control_id: str
    encoded: bytes


def build_message(result: ScreeningResult, destination: Hl7Destination) -> Message:
    """Build the message of a result; the same result gives the same bytes, control ID included.

    A receiver can therefore drop what it has already taken and we sent again for want of an answer.

    Raises:
        DeliveryRefusedError: if the result has no DICOM header, so that nobody knows of which patient it speaks.
    """
    header = result.newest_header or next(iter(result.headers), None)
    if header is None:
        raise DeliveryRefusedError("No ORU can be made: the result has no DICOM image that states patient and study.")
    body = SEGMENT_END.join(_body(result, destination, Source.of(header)))
    control_id = _control_id(result, destination, body)
    text = SEGMENT_END.join((_header(result, destination, control_id), body, ""))
    return Message(control_id, encode(text, destination.character_set))


def _control_id(result: ScreeningResult, destination: Hl7Destination, body: str) -> str:
    """Return 100 bits of a hash in 20 characters, all that MSH-10 may hold."""
    # A correction that is taken back gives the first message again, which is no double of it.
    content = f"{result.flag.result_uid}/{result.corrections}\r{_header(result, destination, '')}\r{body}"
    return base64.b32encode(hashlib.sha256(content.encode()).digest())[:20].decode()


def _header(result: ScreeningResult, destination: Hl7Destination, control_id: str) -> str:
    return segment(
        "MSH",
        {
            3: compose(destination.sending_application),
            4: compose(destination.sending_facility),
            5: compose(destination.receiving_application),
            6: compose(destination.receiving_facility),
            7: values.point_in_time(result.flag.created_at),
            9: compose("ORU", "R01", "ORU_R01"),
            10: control_id,
            11: destination.processing_id,
            12: "2.5.1",
            18: destination.character_set,
        },
    )


def _body(result: ScreeningResult, destination: Hl7Destination, source: Source) -> Iterator[str]:
    made, studied = values.point_in_time(result.flag.created_at), values.study_time(source)
    status = destination.result_status
    yield segment("PID", _patient(source))
    yield segment("OBR", {**_request(result, source), 7: studied, 22: made, 25: status})
    for number, observation in enumerate(observations(result.flag), start=1):
        yield segment("OBX", {1: str(number), **observation.fields, 11: status, 14: studied, 19: made})


def _patient(source: Source) -> dict[int, str]:
    return {
        1: "1",
        3: values.patient_identifier(source),
        5: values.person_name(source.text("PatientName")),
        7: values.date(source.text("PatientBirthDate")),
        8: values.sex(source.text("PatientSex")),
    }


def _request(result: ScreeningResult, source: Source) -> dict[int, str]:
    request = next(iter(source.items("RequestAttributesSequence")), source)
    return {
        1: "1",
        2: compose(source.text("PlacerOrderNumberImagingServiceRequest")),
        3: compose(source.text("FillerOrderNumberImagingServiceRequest")),
        4: _procedure(result, source),
        18: compose(source.text("AccessionNumber")),
        19: compose(source.text("RequestedProcedureID") or request.text("RequestedProcedureID")),
        24: _RADIOLOGY,
    }


def _procedure(result: ScreeningResult, source: Source) -> str:
    """Return the site's own code of the procedure with the standard's as its alternative, or that one alone."""
    screened = any(image.status is ScreeningStatus.SCREENED for image in result.flag.images)
    standard = _PLAIN_CHEST_X_RAY if screened else codes.SCT.ImagingProcedure
    stated = values.stated_code(source, "ProcedureCodeSequence")
    return (
        values.coded(standard)
        if stated is None
        else compose(*stated, standard.value, standard.meaning, standard.scheme_designator)
    )
