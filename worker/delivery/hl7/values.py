"""DICOM values in the data types of HL7 v2.5.1 (chapter 2A)."""

import re
from datetime import UTC, datetime

from pydicom.sr.coding import Code

from worker.delivery.hl7.encoding import COMPONENT, REPETITION, compose, compose_subcomponents, escape
from worker.delivery.hl7.source import Source

# HL7 table 0465, in the order of DICOM's component groups (PS3.5 6.2.1.1)
_REPRESENTATIONS = "AIP"
_LEGAL_NAME, _UNSPECIFIED_NAME = "L", "U"  # HL7 table 0200
_SEXES = frozenset("MFO")  # the same letters in HL7 table 0001
_DATE = re.compile(r"\d{8}", re.ASCII)
_TIME = re.compile(r"((?:[01]\d|2[0-3])(?:[0-5]\d){0,2})(\.\d{1,4})?\d{0,2}", re.ASCII)
_OFFSET = re.compile(r"[+-](?:0\d|1[0-4])[0-5]\d", re.ASCII)


def coded(code: Code, *more: str) -> str:
    """Return a code as CE or CWE: value, meaning, coding system, and the components after them."""
    return compose(code.value, code.meaning, code.scheme_designator, *more)


def point_in_time(moment: datetime) -> str:
    """Return a moment as TS, to the second, in UTC with its offset."""
    return f"{moment.astimezone(UTC):%Y%m%d%H%M%S}+0000"


def person_name(text: str) -> str:
    """Return a DICOM person name as XPN, each component group as a repetition.

    A name that is empty is said to be unspecified, since the patient's name is required.

    Source: DICOM PS3.5 6.2.1; HL7 v2.5.1 2.A.88.
    """
    groups = zip(text.split("=", 2), _REPRESENTATIONS, strict=False)
    names = [_extended_name(group, representation) for group, representation in groups if group.strip(" ^")]
    return REPETITION.join(names) or compose("", "", "", "", "", "", _UNSPECIFIED_NAME)


def _extended_name(group: str, representation: str) -> str:
    family, given, middle, prefix, suffix = [part.strip() for part in [*group.split("^", 4), "", "", "", ""][:5]]
    return compose(family, given, middle, suffix, prefix, "", _LEGAL_NAME, representation)


def sex(text: str) -> str:
    """Return Patient's Sex as IS of table 0001; empty for what is none of its values."""
    return text if text in _SEXES else ""


def date(text: str) -> str:
    """Return a DICOM date as TS to the day; empty for what is no date."""
    try:
        datetime.strptime(text, "%Y%m%d")  # noqa: DTZ007 - a day has no zone
    except ValueError:
        return ""
    return text if _DATE.fullmatch(text) else ""


def study_time(source: Source) -> str:
    """Return when the study was made, as TS.

    To the second only where the image states its offset from UTC: a time without one would be read in the zone of
    MSH-7, which is not the image's (HL7 v2.5.1 2.14.9.7).
    """
    day, offset = date(source.text("StudyDate")), source.text("TimezoneOffsetFromUTC")
    time = _TIME.fullmatch(source.text("StudyTime"))
    if not day or time is None or not _OFFSET.fullmatch(offset):
        return day
    clock, fraction = time[1], time[2] or ""
    return day + clock.ljust(4, "0") + (fraction if len(clock) == 6 else "") + offset


def patient_identifier(source: Source) -> str:
    """Return Patient ID as CX, its issuer as the assigning authority (HD); empty without an ID.

    Without the issuer's universal ID a receiver of several issuers could take the ID for another patient's.

    Source: DICOM PS3.3 10.14; HL7 v2.5.1 2.A.14, 2.A.33, table 0301.
    """
    identifier = source.text("PatientID")
    if not identifier:
        return ""
    qualifiers = next(iter(source.items("IssuerOfPatientIDQualifiersSequence")), None)
    keywords = ("UniversalEntityID", "UniversalEntityIDType")
    universal = ["", ""] if qualifiers is None else [qualifiers.text(keyword) for keyword in keywords]
    authority = compose_subcomponents(source.text("IssuerOfPatientID"), *(universal if all(universal) else ()))
    return COMPONENT.join((escape(identifier), "", "", authority)).rstrip(COMPONENT)


def stated_code(source: Source, sequence: str) -> tuple[str, str, str] | None:
    """Return value, meaning and scheme of the first whole code of a sequence; None if there is none."""
    for item in source.items(sequence):
        value = item.text("CodeValue") or item.text("LongCodeValue")
        code = value, item.text("CodeMeaning"), item.text("CodingSchemeDesignator")
        if all(code):
            return code
    return None
