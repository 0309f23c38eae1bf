"""Reading what a DICOMweb server says of the objects that it was to store."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.delivery.stow_answer import StowAnswer, read_stow_answer

JSON = "application/dicom+json"


def _sequence(*items: dict[str, object]) -> dict[str, object]:
    return {
        "vr": "SQ",
        "Value": [{tag: {"vr": "US", "Value": [value]} for tag, value in item.items()} for item in items],
    }


ANSWER = {
    "00081190": {"vr": "UR", "Value": ["https://pacs/studies/1"]},
    "00081199": _sequence({"00081155": "2.25.1", "00081196": 0xB000}, {"00081155": "2.25.2"}),
    "00081198": _sequence({"00081155": "2.25.3", "00081197": 0xA700}, {"00081155": "2.25.4"}),
}
TOLD = StowAnswer({"2.25.1": 0xB000, "2.25.2": None}, {"2.25.3": 0xA700, "2.25.4": None})
XML = b"""<?xml version="1.0"?><NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">
<DicomAttribute tag="00081190" vr="UR" keyword="RetrieveURL"><Value number="1">https://pacs</Value></DicomAttribute>
<DicomAttribute tag="00081199" vr="SQ" keyword="ReferencedSOPSequence"><Item number="1">
<DicomAttribute tag="00081155" vr="UI"><Value number="1">2.25.1</Value></DicomAttribute>
<DicomAttribute tag="00081196" vr="US"><Value number="1">45056</Value></DicomAttribute></Item><Item number="2">
<DicomAttribute tag="00081155" vr="UI"><Value number="1"> 2.25.2 </Value></DicomAttribute></Item></DicomAttribute>
<DicomAttribute tag="00081198" vr="SQ" keyword="FailedSOPSequence"><Item number="1">
<DicomAttribute tag="00081155" vr="UI"><Value number="1">2.25.3</Value></DicomAttribute>
<DicomAttribute tag="00081197" vr="US"><Value number="1">42752</Value></DicomAttribute></Item><Item number="2">
<DicomAttribute tag="00081155" vr="UI"><Value number="1">2.25.4</Value></DicomAttribute>
<DicomAttribute tag="00081197" vr="US"/></Item></DicomAttribute></NativeDicomModel>"""


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        (JSON, json.dumps(ANSWER).encode()),
        ("application/json", json.dumps([ANSWER]).encode()),
        ("application/dicom+xml", XML),
        ("text/xml", XML.replace(b' xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM"', b"")),
    ],
)
def test_json_and_xml_say_the_same(media_type: str, body: bytes) -> None:
    """With their reasons, whether a server writes the model's namespace or wraps its answer in a list."""
    assert read_stow_answer(media_type, body) == TOLD


def test_reasons_written_as_text_are_read() -> None:
    """As Orthanc's plug-in of Debian 12 once wrote them."""
    body = {"00081198": _sequence({"00081155": "2.25.3", "00081197": "272"})}
    assert read_stow_answer(JSON, json.dumps(body).encode()) == StowAnswer({}, {"2.25.3": 0x0110})


@pytest.mark.parametrize("body", [b"", b" \r\n", b"{}"])
def test_an_empty_answer_names_nothing(body: bytes) -> None:
    """It is for the status to say what that means."""
    assert read_stow_answer(JSON, body) == StowAnswer({}, {})


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("text/plain", b"OK"),
        ("", json.dumps(ANSWER).encode()),
        (JSON, b"OK"),
        (JSON, b"[" * 60_000),
        (JSON, b"\xff\xfe{}"),
        (JSON, b"null"),
        (JSON, b"[]"),
        (JSON, b'{"00081198": []}'),
        (JSON, b'{"00081198": {"Value": [7]}}'),
        (JSON, b'{"00081198": {"Value": [{"00081155": {"Value": 7}}]}}'),
        (JSON, json.dumps({"00081198": _sequence({"00081155": "1", "00081197": "much"})}).encode()),
        (JSON, json.dumps({"00081198": _sequence({"00081155": "1", "00081197": float("inf")})}).encode()),
        (JSON, json.dumps(ANSWER).encode()[:-9]),
        ("application/dicom+xml", XML[:-9]),
        ("application/dicom+xml", b"<a/>garbage"),
    ],
)
def test_what_is_no_answer_is_told_apart(media_type: str, body: bytes) -> None:
    """Another type, another shape, cut off, nested without end: one and the same answer, and no exception."""
    assert read_stow_answer(media_type, body) is None


@given(st.sampled_from([JSON, "application/dicom+xml"]), st.binary(max_size=200))
def test_no_bytes_raise(media_type: str, body: bytes) -> None:
    """Whatever a server says, it is an answer or none."""
    assert isinstance(read_stow_answer(media_type, body), StowAnswer | None)


_KEYS = st.sampled_from(["Value", "00081155", "00081197"])
_VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=4) | st.floats(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # of a busy machine
@given(st.dictionaries(st.sampled_from(["00081198", "00081199"]), _VALUES))
def test_no_shape_raises(answer: dict[str, object]) -> None:
    """Nor does JSON of any other shape."""
    assert isinstance(read_stow_answer(JSON, json.dumps(answer).encode()), StowAnswer | None)
