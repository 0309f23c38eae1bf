"""What a receiver answered: MSA and ERR of an ACK (HL7 v2.5.1 2.14.8, 2.14.5, tables 0008 and 0357).

Texts of the receiver may repeat the patient's name. Only codes are read.
"""

import re
from dataclasses import dataclass
from enum import Enum

# Longer ones, and letters, may be an ID or a name of the patient.
_CODE = re.compile(r"\d{1,3}", re.ASCII)


class Verdict(Enum):
    """What becomes of the message."""

    ACCEPTED = "delivered"
    RETRY = "this message is tried again"
    DOWN = "tried again, and from the second answer of the kind in a row on nothing else is tried there for up to 30 s"
    REFUSED = "a dead letter"


_ACCEPTED = frozenset(("AA", "CA"))
_ERRORS = frozenset(("AE", "CE"))
_REJECTIONS = frozenset(("AR", "CR"))
# Table 0357. Of this message alone: 102 data type, 205 duplicate key. Not 101 required field and 204 unknown key: a
# setting, the registration of the patient or the order, or a correction of the film's header mends those.
_CONTENT = frozenset(("102", "205"))
# Of what every message of ours says, or of the receiver: 100 sequence of segments, 103 table value, 200 message type,
# 201 event, 202 processing ID, 203 version, 207 internal error. An operator mends that, and then all of them are taken.
_EVERY_MESSAGE = frozenset(("100", "103", "200", "201", "202", "203", "207"))

# For the conformance statement: MSA-1, with which error code, and what happens.
ANSWERS: tuple[tuple[str, str, Verdict], ...] = (
    ("AA, CA", "any", Verdict.ACCEPTED),
    ("AE, CE, AR, CR", ", ".join(sorted(_EVERY_MESSAGE)), Verdict.DOWN),
    ("AE, CE", "another, or none", Verdict.RETRY),
    ("AR, CR", ", ".join(sorted(_CONTENT)), Verdict.REFUSED),
    ("AR, CR", "another, or none", Verdict.RETRY),
)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """An ACK.

    Attributes:
        code: MSA-1, one of table 0008.
        control_id: MSA-2, as it was answered.
        error: ERR-3, else MSA-6, if it is a number of up to three digits; else None.
    """

    code: str
    control_id: str
    error: str | None

    @property
    def verdict(self) -> Verdict:
        """What becomes of the message.

        A rejection without a reason is tried again: by 2.9.2.2 it is about the receiver, or about what every message
        says, and a wrong setting must not make dead letters of all flags.
        """
        if self.code in _ACCEPTED:
            return Verdict.ACCEPTED
        if self.error in _EVERY_MESSAGE:
            return Verdict.DOWN
        if self.code in _REJECTIONS and self.error in _CONTENT:
            return Verdict.REFUSED
        return Verdict.RETRY

    def __str__(self) -> str:
        return f"MSA-1 {self.code}" + (f", error code {self.error}" if self.error else "")


def parse_acknowledgement(block: bytes) -> Acknowledgement | None:
    """Read an answer, more tolerantly than 2.6 asks: other line ends, blank lines before it, small letters in MSA-1.

    Returns:
        The acknowledgement, or None for what is none: no MSH first, no MSA, or a code that table 0008 does not have.
    """
    lines = block.decode("latin-1").strip().replace("\r\n", "\r").replace("\n", "\r").split("\r")
    if not re.match(r"MSH[^\w\s]", lines[0]):
        return None
    separator, component = lines[0][3], lines[0][4:5] or "^"
    segments = {line[:3]: line.split(separator) for line in reversed(lines)}
    code, control_id = (_field(segments, "MSA", place).strip() for place in (1, 2))
    code = code.upper()
    if code not in _ACCEPTED | _ERRORS | _REJECTIONS:
        return None
    stated = (_field(segments, name, place).split(component)[0] for name, place in (("ERR", 3), ("MSA", 6)))
    return Acknowledgement(code, control_id, next(filter(_CODE.fullmatch, stated), None))


def _field(segments: dict[str, list[str]], name: str, place: int) -> str:
    fields = segments.get(name, [])
    return fields[place] if place < len(fields) else ""
