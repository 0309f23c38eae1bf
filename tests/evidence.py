"""What a heatmap is drawn from, with known content."""

import numpy as np
import zstandard

from dicom_io.header import encode_header
from dicom_io.phantom import self_test_pixels
from tests.results import film, flag, prediction
from worker.domain import FrameEvidence, Prediction, ScreeningResult

HEATMAP_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.11.3",
)


def stored_film() -> bytes:
    """The drawn film as `prepared_images` keeps it."""
    return zstandard.compress(self_test_pixels().tobytes())


def stored_map(evidence: float = 8.0) -> bytes:
    """An activation map with evidence in its first cell only, as `scores` keeps it."""
    cells = np.zeros((7, 7), "<f2")
    cells[0, 0] = evidence
    return cells.tobytes()


def evidence_of(
    image: Prediction, *, activation_map: bytes | None = None, pixels: bytes | None = None
) -> FrameEvidence:
    """The evidence of a frame; what is not given is whole."""
    return FrameEvidence(
        prediction=image,
        activation_map=stored_map() if activation_map is None else activation_map,
        pixels=stored_film() if pixels is None else pixels,
    )


def result_with_evidence(**header: object) -> ScreeningResult:
    """A suspected pneumonia on one film, whose header has these attributes, for a destination with heatmaps."""
    source, image = film(), prediction(flagged=True)
    for keyword, value in header.items():
        setattr(source, keyword, value)
    return ScreeningResult(flag=flag(image), headers=(encode_header(source),), evidence=(evidence_of(image),))
