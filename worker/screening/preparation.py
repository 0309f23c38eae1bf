"""One file, prepared: what the network is to see of it, and what a flag says of it beside the score. No torch."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from pydicom import Dataset

from dicom_io.errors import ImageError
from dicom_io.reader import read_header, read_radiograph
from dicom_io.reasons import Reason
from dicom_io.suitability import age_years, assess
from worker.domain import ImageState
from worker.model.input_spec import InputSpec
from worker.model.preprocessing import preprocess
from worker.screening.record import NO_BYTES


class Facts(BaseModel):
    """What is known of a file before it is scored.

    Attributes:
        content_sha256: of the file's image data; that of no bytes where the file could not be read.
        frames: how many films were prepared.
        age_years: the patient's age at the study; None if the file does not tell.
    """

    model_config = ConfigDict(frozen=True)

    content_sha256: str
    frames: int = 0
    state: ImageState = ImageState.FAILED
    reason: Reason | None = None
    warnings: tuple[str, ...] = ()
    age_years: float | None = None
    study_instance_uid: str | None = None
    accession_number: str | None = None
    sop_instance_uid: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A file, prepared; `films` is uint8 (frames, size, size), with no frames where nothing is to be scored."""

    facts: Facts
    films: NDArray[np.uint8]


def prepare_file(path: Path, spec: InputSpec) -> Prepared:
    """Prepare one file; whatever is wrong with it becomes its reason.

    Args:
        path: a DICOM, PNG or JPEG file; others get their reason too.
        spec: what the network expects.
    """
    header: Dataset | None = None
    try:
        header = read_header(path)
        suitability = assess(header)
        if not suitability.in_scope:
            return nothing_prepared(spec, file_sha256(path), ImageState.OUT_OF_SCOPE, suitability.reason, header)
        radiograph = read_radiograph(path, covering=spec.size, percentiles=spec.percentiles)
        films = preprocess(radiograph, spec)
    except ImageError as error:
        return nothing_prepared(spec, file_sha256(path), ImageState.FAILED, error.reason, header)
    except OSError:
        return nothing_prepared(spec, NO_BYTES, ImageState.FAILED, Reason.UNREADABLE_FILE)
    facts = Facts(
        content_sha256=radiograph.content_sha256,
        frames=len(films),
        state=ImageState.PREPARED,
        warnings=suitability.warnings,
        age_years=age_years(header),
        **_identity(header),
    )
    return Prepared(facts, films)


def nothing_prepared(
    spec: InputSpec, content_sha256: str, state: ImageState, reason: Reason | None, header: Dataset | None = None
) -> Prepared:
    """Say why nothing of a file is to be scored."""
    facts = Facts(content_sha256=content_sha256, state=state, reason=reason, **_identity(header))
    return Prepared(facts, np.zeros((0, spec.size, spec.size), np.uint8))


def _identity(header: Dataset | None) -> dict[str, str | None]:
    source = Dataset() if header is None else header
    return {
        "study_instance_uid": _text(source, "StudyInstanceUID"),
        "accession_number": _text(source, "AccessionNumber"),
        "sop_instance_uid": _text(source, "SOPInstanceUID"),
    }


def _text(header: Dataset, keyword: str) -> str | None:
    return str(header.get(keyword) or "").strip() or None


def file_sha256(path: Path) -> str:
    """Hash a file whole; 64 hex digits.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
