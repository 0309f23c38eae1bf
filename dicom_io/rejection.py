"""Rejection notes: Key Object Selection documents that take objects back (PS3.3 A.35.4, IHE RAD IOCM).

A PACS or a modality sends one where a film is to be used no more: of bad quality, of the wrong patient, or deleted.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from pydicom import Dataset, Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, KeyObjectSelectionDocumentStorage

from dicom_io.errors import OversizedImageError
from dicom_io.part10 import inflate, read_data_set, settle, tolerant

MAX_NOTE_BYTES = 16 << 20
MAX_REFERENCES = 10_000
_LONGEST_UID = 64  # PS3.5 9.1
_KEYWORDS = (
    "SpecificCharacterSet",
    "StudyInstanceUID",
    "CurrentRequestedProcedureEvidenceSequence",
    "ConceptNameCodeSequence",
    "ContentSequence",
)


class Rejection(StrEnum):
    """The title of a rejection note (PS3.16 CID 7010), and whether its objects show the patient they name."""

    meaning: str
    right_patient: bool

    def __new__(cls, code: str, meaning: str = "", right_patient: bool = False) -> Self:
        """Attach the meaning to the code."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning, member.right_patient = meaning, right_patient
        return member

    QUALITY = "113001", "Rejected for Quality Reasons", True
    PATIENT_SAFETY = "113037", "Rejected for Patient Safety Reasons", False
    WORKLIST_ENTRY = "113038", "Incorrect Modality Worklist Entry", False
    RETENTION_EXPIRED = "113039", "Data Retention Policy Expired", True


@dataclass(frozen=True, slots=True)
class RejectedObject:
    """An object that a note takes back; the same SOP instance in another study is not meant."""

    study_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class RejectionNote:
    """What a note says; it may name objects of several studies, and objects that never came here."""

    rejection: Rejection
    objects: tuple[RejectedObject, ...]


def is_key_object_selection(sop_class_uid: str) -> bool:
    """Tell whether objects of a SOP class may be rejection notes."""
    return sop_class_uid == KeyObjectSelectionDocumentStorage


def read_rejection_note(data_set: bytes | memoryview, transfer_syntax_uid: str) -> RejectionNote | None:
    """Read an encoded Key Object Selection document.

    Args:
        data_set: as a C-STORE request carries it, without file meta.
        transfer_syntax_uid: of the presentation context.

    Returns:
        None where the document's title is none of `Rejection`: it selects objects for another purpose. The objects are
        those of its content tree, in the study that its evidence lists them in, else in its own.

    Raises:
        TruncatedDataError: if the data set ends inside an element.
        UnsupportedObjectError: if it cannot be parsed, or is nested too deep.
        OversizedImageError: if it is longer than `MAX_NOTE_BYTES`, or names more than `MAX_REFERENCES` objects.

    Source: PS3.3 C.17.6.2, PS3.16 TID 2010.
    """
    if len(data_set) > MAX_NOTE_BYTES:
        raise OversizedImageError(f"The key object selection is longer than {MAX_NOTE_BYTES} bytes.")
    encoded = memoryview(data_set)
    body = inflate(encoded) if transfer_syntax_uid == DeflatedExplicitVRLittleEndian else encoded
    document = read_data_set(io.BytesIO(body), transfer_syntax_uid, _KEYWORDS)
    settle(document)
    with tolerant():
        rejection = _title(document)
        return None if rejection is None else RejectionNote(rejection, _objects(document))


def _title(document: Dataset) -> Rejection | None:
    for code in _items(document, "ConceptNameCodeSequence"):
        if _text(code, "CodingSchemeDesignator") == "DCM" and _text(code, "CodeValue") in set(Rejection):
            return Rejection(_text(code, "CodeValue"))
    return None


def _objects(document: Dataset) -> tuple[RejectedObject, ...]:
    own_study, studies = _uid(document, "StudyInstanceUID"), _studies(document)
    found: dict[RejectedObject, None] = {}
    for uid in _selected(document):
        study = studies.get(uid, own_study)
        if uid and study:
            found[RejectedObject(study, uid)] = None
        if len(found) > MAX_REFERENCES:
            raise OversizedImageError(f"The rejection note names more than {MAX_REFERENCES} objects.")
    return tuple(found)


def _studies(document: Dataset) -> dict[str, str]:
    """Return the study of each SOP instance that the evidence lists."""
    return {
        _uid(reference, "ReferencedSOPInstanceUID"): _uid(study, "StudyInstanceUID")
        for study in _items(document, "CurrentRequestedProcedureEvidenceSequence")
        for series in _items(study, "ReferencedSeriesSequence")
        for reference in _items(series, "ReferencedSOPSequence")
    }


def _selected(document: Dataset) -> Iterator[str]:
    """Yield the SOP Instance UIDs that the content tree refers to."""
    for content in _items(document, "ContentSequence"):
        for reference in _items(content, "ReferencedSOPSequence"):
            yield _uid(reference, "ReferencedSOPInstanceUID")


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    value = dataset.get(keyword)
    return list(value) if isinstance(value, Sequence) else []


def _text(dataset: Dataset, keyword: str) -> str:
    return str(dataset.get(keyword) or "").strip("\0 ")


def _uid(dataset: Dataset, keyword: str) -> str:
    uid = _text(dataset, keyword)
    return uid if len(uid) <= _LONGEST_UID and uid.isascii() and uid.isprintable() else ""
