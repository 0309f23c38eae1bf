"""The DICOM objects that show where the model looked on the flagged frames of a result."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicom_io.errors import MissingAttributeError
from dicom_io.header import decode_header
from dicom_io.heatmap import Heatmap, build_heatmap, film_size
from dicom_io.identity import sop_instance_reference
from dicom_io.report import MANUFACTURER
from worker.delivery.heatmap_picture import DISCLAIMER, draw_heatmap, film_shape
from worker.delivery.reporting import screening_report
from worker.domain import FrameEvidence, ScreeningResult
from worker.films import DamagedFilmError, unpack_activation_map, unpack_stored_film
from worker.model.overlay import FULL_EVIDENCE, evidence_levels, evidence_palette


@dataclass(frozen=True, slots=True)
class Heatmaps:
    """What is sent beside the report.

    Attributes:
        objects: in the order in which they are sent: an image comes before the presentation state that refers to it.
        left_out: frames of which nothing can be drawn.
    """

    objects: Sequence[Dataset]
    left_out: int


def build_heatmaps(result: ScreeningResult) -> Heatmaps:
    """Draw the frames of the result's evidence; the same result gives the same bytes.

    A frame is left out if its map or film is not stored any more, if one of them is damaged, or if the header of its
    image is missing: the flag goes out without it.
    """
    headers = {sop_instance_reference(decode_header(header)).sop_instance_uid: header for header in result.headers}
    drawn = [_frame(result, evidence, number, headers) for number, evidence in enumerate(result.evidence, start=1)]
    return Heatmaps([o for objects in drawn for o in objects], sum(not objects for objects in drawn))


def _frame(
    result: ScreeningResult, evidence: FrameEvidence, number: int, headers: Mapping[str, bytes]
) -> Sequence[Dataset]:
    header = headers.get(evidence.prediction.sop_instance_uid or "")
    if header is None or evidence.activation_map is None or evidence.pixels is None:
        return ()
    try:
        film, activation_map = unpack_stored_film(evidence.pixels), unpack_activation_map(evidence.activation_map)
        shape = film_shape(*film_size(header))
    except (DamagedFilmError, ValueError, MissingAttributeError):
        return ()
    heatmap = _draw(result, evidence, number, film, activation_map, shape)
    return build_heatmap(screening_report(result), heatmap, header, result.newest_header)


def _draw(
    result: ScreeningResult,
    evidence: FrameEvidence,
    number: int,
    film: NDArray[np.uint8],
    activation_map: NDArray[np.float16],
    shape: tuple[int, int],
) -> Heatmap:
    model = evidence.prediction.model or result.flag.model
    maker = f"{MANUFACTURER}, {model.name} {model.version}"
    return Heatmap(
        frame=evidence.prediction.frame,
        number=number,
        picture=draw_heatmap(film, activation_map, shape=shape, statements=list(_statements(result, evidence, maker))),
        levels=evidence_levels(activation_map, *shape),
        palette=evidence_palette(),
        meaning=f"{maker}: activation map over the film as the network saw it, {len(film)} x {len(film)} pixels, in "
        f"the aspect ratio of the source. {DISCLAIMER}",
        meaning_of_levels=f"{maker}: activation map stretched over the film. Evidence for the finding per cell of the "
        f"map in logit units is the stored value x {FULL_EVIDENCE:g} / 255; {FULL_EVIDENCE:g} and more is 255, none or "
        f"evidence against it is 0. {DISCLAIMER}",
        software=f"{model.name} {model.version}",
    )


def _statements(result: ScreeningResult, evidence: FrameEvidence, maker: str) -> Iterator[str]:
    said = evidence.prediction
    yield maker if result.flag.finding is None else f"{maker}: {result.flag.finding}"
    if said.probability is not None and said.threshold is not None:
        yield f"Probability {said.probability:.2%}, flagged at {said.threshold:.2%} and above"
    if said.frame > 1:
        yield f"Frame {said.frame}"
