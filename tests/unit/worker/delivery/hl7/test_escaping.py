"""No text of a film can change the structure of a message."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oru import DESTINATION, message_of, result_of, shape, value
from tests.results import flag, prediction
from worker.delivery.hl7.encoding import escape
from worker.delivery.hl7.message import build_message

FIELDS = {
    "PatientID": ("PID", 3, 1),
    "IssuerOfPatientID": ("PID", 3, 4),
    "AccessionNumber": ("OBR", 18, 1),
    "RequestedProcedureID": ("OBR", 19, 1),
    "PlacerOrderNumberImagingServiceRequest": ("OBR", 2, 1),
    "FillerOrderNumberImagingServiceRequest": ("OBR", 3, 1),
}
KEYWORDS = (*FIELDS, "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "TimezoneOffsetFromUTC")
CHARACTER_SETS = (
    b"",
    b"ISO_IR 100",
    b"ISO_IR 192",
    b"GB18030",
    b"\\ISO 2022 IR 87",
    b"ISO 2022 IR 13\\ISO 2022 IR 149",
)
HL7_SETS = ("UNICODE UTF-8", "8859/1", "8859/2", "8859/5", "8859/7", "8859/15", "ASCII")
PLAIN = shape(message_of(result_of(PatientID=b"P1")))
# Escape sequences of ISO 2022 are read before; surrogates are no text.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1b"), max_size=60)
# With a NUL inside, pydicom reads neither a film nor, so, a header.
NO_SETS = st.binary(max_size=20).filter(lambda terms: b"\0" not in terms)
DELIMITERS = st.text('|^~\\&\r\n\x0b\x1c"X0DEFRST.br', max_size=30)


def as_said(text: str) -> str:
    """The text without padding, where nothing remains of characters that some readers take for the end of a line."""
    text = text.strip(" \0")
    return "".join("?" if "\x80" <= c < "\xa0" or c in "\u2028\u2029\ufffd" else c for c in text)


@settings(max_examples=200, deadline=None)
@given(keyword=st.sampled_from(sorted(FIELDS)), text=TEXT | DELIMITERS)
def test_a_text_reads_back_as_it_was(keyword: str, text: str) -> None:
    """The independent parser finds it in its field, and as many segments and fields as ever."""
    values = {"PatientID": b"P1", "SpecificCharacterSet": b"ISO_IR 192", keyword: text.encode()}
    message = message_of(result_of(**values))
    segment, place, component = FIELDS[keyword]
    assert value(message, segment, place, component) == as_said(text)
    assert shape(message) == PLAIN


@settings(max_examples=300, deadline=None)
@given(
    values=st.dictionaries(st.sampled_from(KEYWORDS), st.binary(max_size=60), max_size=4),
    character_set=st.sampled_from(CHARACTER_SETS) | NO_SETS,
    written_in=st.sampled_from(HL7_SETS),
)
def test_no_bytes_change_the_structure(values: dict[str, bytes], character_set: bytes, written_in: str) -> None:
    """Whatever stands in the header, in whatever character set it says: the message is made, and has the same shape."""
    message = message_of(result_of(SpecificCharacterSet=character_set, **values), character_set=written_in)
    assert shape(message) == PLAIN
    assert "\x0b" not in str(message)
    assert "\x1c" not in str(message)


@settings(max_examples=50, deadline=None)
@given(text=TEXT | DELIMITERS)
def test_a_warning_changes_no_structure(text: str) -> None:
    """Nor do our own texts."""
    said = flag(prediction(flagged=True), warnings=("before", text, "after"))
    message = message_of(result_of().model_copy(update={"flag": said}))
    (row,) = [segment for segment in message.segments("OBX") if "warning" in str(segment(3))]
    told = str(row(5)).split("~")
    assert [message.unescape(part) for part in (told[0], told[-1], told[1])] == ["before", "after", as_hl7(text)]
    assert len(told) == 3


def as_hl7(text: str) -> str:
    """As `as_said`, padding included."""
    return "".join("?" if "\x80" <= c < "\xa0" or c in "\u2028\u2029\ufffd" else c for c in text)


def test_a_text_cannot_tell_the_receiver_to_delete() -> None:
    """Two quotation marks alone mean that in HL7 (2.5.3)."""
    message = message_of(result_of(PatientID=b'""'))
    assert '""' not in str(message)
    assert value(message, "PID", 3) == '""'


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\F\b"),
        ("a^b", r"a\S\b"),
        ("a&b", r"a\T\b"),
        ("a~b", r"a\R\b"),
        ("a\\b", r"a\E\b"),
        ("\r\n", r"\X0D\\X0A\ "[:-1]),
    ],
)
def test_each_delimiter_has_its_escape(text: str, escaped: str) -> None:
    """Those of HL7 v2.5.1 2.7.1."""
    assert escape(text) == escaped


def test_an_injected_segment_stays_a_name() -> None:
    """A name that holds a whole OBX makes none."""
    name = b"Evil\rOBX|99|CWE|x||normal^Normal^L||||||F"
    result = result_of(PatientName=name, PatientID=b"P1")
    message = message_of(result)
    assert shape(message) == PLAIN
    assert b"\rOBX|99" not in build_message(result, DESTINATION).encoded
