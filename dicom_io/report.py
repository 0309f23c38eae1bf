"""What a screening report states, apart from how a DICOM object says it."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dicom_io.reasons import Reason

_UUID_ROOT = "2.25."


@dataclass(frozen=True, slots=True)
class ScreenedImage:
    """What is said of one frame.

    Attributes:
        frame: number of the frame, the first is 1.
        reason: why it was not screened; None if it was.
        flagged: at or above the threshold.
        probability: calibrated probability of the finding in [0, 1]; None if not screened.
        threshold: the probability at the operating point in [0, 1].
    """

    sop_instance_uid: str
    frame: int
    reason: Reason | None
    flagged: bool
    probability: float | None
    threshold: float | None


@dataclass(frozen=True, slots=True)
class ScreeningReport:
    """One result about one study.

    Attributes:
        result_uid: "2.25." and the decimal form of a UUID; every UID of the object derives from it.
        predecessor_result_uid: an earlier result whose report this one replaces.
        complete: the last word on this revision of the study, or told early.
        reason: why the study as a whole was not screened; None if it was.
        flagged: asks for a high place in the reading order.
        model_sha256: 64 hex digits, hash of the model's card.
        created_at: with time zone.
    """

    result_uid: str
    predecessor_result_uid: str | None
    complete: bool
    reason: Reason | None
    flagged: bool
    warnings: Sequence[str]
    images: Sequence[ScreenedImage]
    model_name: str
    model_version: str
    model_sha256: str
    created_at: datetime


def derive_uid(result_uid: str, kind: str) -> str:
    """Name an object made from a result, always the same for the same result.

    Args:
        result_uid: "2.25." and the decimal form of a UUID.
        kind: which object, e.g. "sr".

    Raises:
        ValueError: if `result_uid` is no UUID-derived UID.

    Source: DICOM PS3.5 B.2, RFC 9562 5.5.
    """
    prefix, number = result_uid[: len(_UUID_ROOT)], result_uid[len(_UUID_ROOT) :]
    if prefix != _UUID_ROOT or not number.isdecimal():
        raise ValueError(f"{result_uid!r} is not derived from a UUID; result UIDs begin with {_UUID_ROOT}")
    return _UUID_ROOT + str(uuid.uuid5(uuid.UUID(int=int(number)), kind).int)
