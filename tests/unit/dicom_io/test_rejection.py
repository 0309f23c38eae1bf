"""Rejection notes: what they take back, and that nothing malformed does."""

import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import (
    ComprehensiveSRStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
)
from pynetdicom.dsutils import encode

from dicom_io import rejection
from dicom_io.errors import ImageError, OversizedImageError, TruncatedDataError, UnsupportedObjectError
from dicom_io.part10 import tolerant
from dicom_io.rejection import RejectedObject, Rejection, is_key_object_selection, read_rejection_note
from tests.notes import key_objects

FILMS = {"2.25.1": ("2.25.11", "2.25.12"), "2.25.2": ("2.25.21",)}
NAMED = (RejectedObject("2.25.1", "2.25.11"), RejectedObject("2.25.1", "2.25.12"), RejectedObject("2.25.2", "2.25.21"))


def encoded(document: Dataset) -> bytes:
    """The data set as a C-STORE request carries it, Explicit VR Little Endian."""
    return encode(document, False, True) or b""


def test_only_key_object_selections_may_be_notes() -> None:
    """A structured report takes nothing back, whatever it is called."""
    assert is_key_object_selection(KeyObjectSelectionDocumentStorage)
    assert not is_key_object_selection(ComprehensiveSRStorage)


@pytest.mark.parametrize("title", Rejection)
def test_a_note_names_its_title_and_objects_of_several_studies(title: Rejection) -> None:
    """Each of the four titles is known; each object stands in the study that the evidence lists it in."""
    note = read_rejection_note(encoded(key_objects(FILMS, title)), ExplicitVRLittleEndian)
    assert note is not None
    assert (note.rejection, note.objects) == (title, NAMED)


def test_the_titles_are_those_of_the_standard() -> None:
    """PS3.16 CID 7010; only two of them leave no doubt whose film it is."""
    assert {title: title.meaning for title in Rejection} == {
        "113001": "Rejected for Quality Reasons",
        "113037": "Rejected for Patient Safety Reasons",
        "113038": "Incorrect Modality Worklist Entry",
        "113039": "Data Retention Policy Expired",
    }
    assert [title for title in Rejection if title.right_patient] == ["113001", "113039"]


@pytest.mark.parametrize(
    "encode_as",
    [
        lambda d: (encode(d, True, True), ImplicitVRLittleEndian),
        lambda d: (encode(d, False, False), ExplicitVRBigEndian),
        lambda d: (zlib.compress(encoded(d), wbits=-15), DeflatedExplicitVRLittleEndian),
    ],
)
def test_a_note_is_read_in_every_transfer_syntax(encode_as: Callable[[Dataset], tuple[bytes, str]]) -> None:
    """Implicit, big endian and deflated notes name the same objects."""
    note = read_rejection_note(*encode_as(key_objects(FILMS)))
    assert note is not None
    assert note.objects == NAMED


@pytest.mark.parametrize(("title", "scheme"), [("113000", "DCM"), ("113001", "99ME"), ("", "DCM"), ("113010", "DCM")])
def test_another_title_takes_nothing_back(title: str, scheme: str) -> None:
    """Of Interest, a private code with the same digits, none, and the title of a quality issue are no rejections."""
    assert read_rejection_note(encoded(key_objects(FILMS, title, scheme=scheme)), ExplicitVRLittleEndian) is None


def test_a_note_without_evidence_speaks_of_its_own_study() -> None:
    """Where the evidence does not list an object, it is sought in the note's study."""
    document = key_objects({"2.25.1": ("2.25.11",)})
    del document.CurrentRequestedProcedureEvidenceSequence
    note = read_rejection_note(encoded(document), ExplicitVRLittleEndian)
    assert note is not None
    assert note.objects == (RejectedObject("2.25.1", "2.25.11"),)


def test_what_is_only_evidence_is_not_taken_back() -> None:
    """An object that the content does not select stays: leaving it out would need the sender's word."""
    document = key_objects({"2.25.1": ("2.25.11", "2.25.12")})
    document.ContentSequence = document.ContentSequence[:1]
    note = read_rejection_note(encoded(document), ExplicitVRLittleEndian)
    assert note is not None
    assert note.objects == (RejectedObject("2.25.1", "2.25.11"),)


def test_a_note_that_names_nothing_takes_nothing_back() -> None:
    """Without content, with an empty reference and with a UID that is none, no object is named."""
    with tolerant():
        document = key_objects({"2.25.1": ("2.25.11", "9" * 65)})
    del document.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    with tolerant():
        raw = encoded(document)
    note = read_rejection_note(raw, ExplicitVRLittleEndian)
    assert note is not None
    assert note.objects == ()


def test_a_cut_note_is_truncated() -> None:
    """It ends inside a sequence: what it would have named is not guessed."""
    with pytest.raises((TruncatedDataError, UnsupportedObjectError)):
        read_rejection_note(encoded(key_objects(FILMS))[:-30], ExplicitVRLittleEndian)


def test_a_note_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a huge document nor one that names very many objects is worked through."""
    raw = encoded(key_objects(FILMS))
    monkeypatch.setattr(rejection, "MAX_REFERENCES", 2)
    with pytest.raises(OversizedImageError, match="more than 2 objects"):
        read_rejection_note(raw, ExplicitVRLittleEndian)
    monkeypatch.setattr(rejection, "MAX_NOTE_BYTES", 100)
    with pytest.raises(OversizedImageError, match="100 bytes"):
        read_rejection_note(raw, ExplicitVRLittleEndian)


def test_sequences_nested_without_end_are_refused() -> None:
    """A content tree of a thousand levels does not exhaust the stack."""
    document = key_objects(FILMS)
    item = document.ContentSequence[0]
    for _ in range(200):
        child = Dataset()
        child.ValueType = "CONTAINER"
        item.ContentSequence = [child]
        item = child
    with pytest.raises(UnsupportedObjectError):
        read_rejection_note(encoded(document), ExplicitVRLittleEndian)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_broken_note_is_named_or_understood(data: st.DataObject) -> None:
    """Bytes changed and cut anywhere end in a note, in none, or in the one family of errors; never in a crash."""
    raw = bytearray(encoded(key_objects(FILMS)))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    try:
        note = read_rejection_note(bytes(raw[: len(raw) - cut]), ExplicitVRLittleEndian)
    except ImageError:
        note = None
    assert note is None or all(len(named.sop_instance_uid) <= 64 for named in note.objects)
