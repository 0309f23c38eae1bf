"""Why an image or a study was not screened: the one enumeration of reason codes.

The codes travel in flags, reports, the database and `deploy/conformance.md`, which a test compares with this file.
"""

from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """A reason code and, as `meaning`, the sentence that explains it to a person."""

    meaning: str

    def __new__(cls, code: str, meaning: str = "") -> Self:
        """Attach the explanation to the code, so that neither is written twice."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    # The file cannot be understood.
    UNREADABLE_FILE = "unreadable-file", "The file could not be opened or read."
    NOT_AN_IMAGE = "not-an-image", "The file is neither DICOM nor PNG nor JPEG."
    TRUNCATED = "truncated", "The data set or a frame ends before its declared length."
    MISSING_ATTRIBUTE = "missing-attribute", "An attribute that identifies or describes the image is absent."
    NO_PIXEL_DATA = "no-pixel-data", "The object carries no pixels."
    UNSUPPORTED_TRANSFER_SYNTAX = "unsupported-transfer-syntax", "No decoder is available for the transfer syntax."
    UNSUPPORTED_OBJECT = "unsupported-object", "The pixel description contradicts itself or the standard."
    UNDECODABLE_PIXELS = "undecodable-pixels", "The compressed pixel data could not be decoded."
    TOO_LARGE = "too-large", "The declared image size is above the limit."

    # The image is fine, but no frontal chest radiograph.
    NOT_A_RADIOGRAPH = "not-a-radiograph", "The SOP class or modality is not projection radiography."
    WRONG_BODY_PART = "wrong-body-part", "The body part is stated and is not the chest."
    LATERAL_VIEW = "lateral-view", "A lateral or oblique view; the model reads frontal views."
    DERIVED_IMAGE = "derived-image", "A localizer, screen capture or other image that is not a film."
    OUT_OF_SCOPE_IMAGE = "out-of-scope-image", "The picture does not look like a chest radiograph to the model."

    # The study as a whole.
    NOTHING_IN_SCOPE = "nothing-in-scope", "No image of the study is a frontal chest radiograph, for several reasons."
    PENDING = "pending", "Images of the study are still being screened."
    REJECTED = "rejected", "Every image of the study that might have been screened was rejected by a rejection note."
    INCOMPLETE = "incomplete", "At least one chest radiograph of the study could not be screened."
    OVERDUE = "overdue", "Screening did not end within screen_within_minutes; a later result supersedes this one."

    # The service.
    NOT_PREPARED = "not-prepared", "No prepared pixels of the model's input size are stored for the image."
    NO_SCORE = "no-score", "The model's answer for the image is no number; the score host may be faulty."
    ATTEMPTS_EXHAUSTED = "attempts-exhausted", "Every attempt failed or killed its worker; the image is set aside."
