"""Messages ORU^R01 read by an independent parser, for the tests of what they say."""

import struct
from collections.abc import Mapping
from functools import cache

import hl7

from tests.results import flagged_result
from worker.delivery.hl7.message import build_message
from worker.destinations import Hl7Destination
from worker.domain import ScreeningResult

DESTINATION = Hl7Destination(kind="hl7", name="ris", host="ris", port=2575)
_TAGS = {
    "SpecificCharacterSet": (0x0008, 0x0005, b"CS"),
    "StudyDate": (0x0008, 0x0020, b"DA"),
    "StudyTime": (0x0008, 0x0030, b"TM"),
    "AccessionNumber": (0x0008, 0x0050, b"SH"),
    "TimezoneOffsetFromUTC": (0x0008, 0x0201, b"SH"),
    "PatientName": (0x0010, 0x0010, b"PN"),
    "PatientID": (0x0010, 0x0020, b"LO"),
    "IssuerOfPatientID": (0x0010, 0x0021, b"LO"),
    "PatientBirthDate": (0x0010, 0x0030, b"DA"),
    "PatientSex": (0x0010, 0x0040, b"CS"),
    "RequestedProcedureID": (0x0040, 0x1001, b"SH"),
    "PlacerOrderNumberImagingServiceRequest": (0x0040, 0x2016, b"LO"),
    "FillerOrderNumberImagingServiceRequest": (0x0040, 0x2017, b"LO"),
}


def header_of(values: Mapping[str, bytes]) -> bytes:
    """A header that holds just these bytes, right or wrong."""
    encoded = b""
    for keyword, (group, element, vr) in sorted(_TAGS.items(), key=lambda item: item[1]):
        if keyword in values:
            value = values[keyword] + b" " * (len(values[keyword]) % 2)
            encoded += struct.pack("<HH2sH", group, element, vr, len(value)) + value
    return encoded


def result_of(**values: bytes) -> ScreeningResult:
    """A flagged result of a study whose newest header holds just these bytes."""
    return _drawn().model_copy(update={"newest_header": header_of(values)})


@cache
def _drawn() -> ScreeningResult:
    return flagged_result()  # its film is drawn, which takes longer than its message


def message_of(result: ScreeningResult, **settings: object) -> hl7.Message:
    """The message of a result, read in the character set that its MSH-18 states."""
    destination = Hl7Destination.model_validate(DESTINATION.model_dump() | settings)
    codec = {"UNICODE UTF-8": "utf-8", "ASCII": "ascii"}.get(
        destination.character_set, f"iso{destination.character_set.replace('/', '-')}"
    )
    return hl7.parse(build_message(result, destination).encoded.decode(codec))


def shape(message: hl7.Message) -> list[tuple[str, int]]:
    """Name and number of fields of each segment."""
    return [(str(segment[0]), len(segment)) for segment in message]


def value(message: hl7.Message, segment: str, place: int, component: int = 1, repetition: int = 1) -> str:
    """A component of a field of the first segment of that name, unescaped; empty where it is left out."""
    field = message.segment(segment)(place)
    repetitions = list(field) if len(field) else [""]
    parts = repetitions[repetition - 1]
    texts = [parts] if isinstance(parts, str) else list(parts)
    text = str(texts[component - 1]) if component <= len(texts) else ""
    return str(message.unescape(text))


def rows(message: hl7.Message) -> list[list[str]]:
    """The fields 0 to 19 of every OBX as they stand."""
    return [[str(field) for field in segment] for segment in message.segments("OBX")]
