"""The DICOM objects that show where the model looked on a frame: two Secondary Captures and a presentation state."""

import re
from dataclasses import dataclass

import numpy as np
from highdicom.content import PaletteColorLUT, PaletteColorLUTTransformation
from highdicom.pr import PseudoColorSoftcopyPresentationState
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.sr.codedict import codes

from dicom_io.derived_picture import derived_picture
from dicom_io.errors import MissingAttributeError
from dicom_io.header import decode_header
from dicom_io.identity import sop_instance_reference
from dicom_io.part10 import tolerant
from dicom_io.repeating import in_time_of, with_source_attributes
from dicom_io.report import MANUFACTURER, ScreeningReport, derive_uid
from dicom_io.sr_content import MULTI_FRAME

SERIES_NUMBER, PRESENTATION_SERIES_NUMBER = 9111, 9112
SERIES_DESCRIPTION = "AI TRIAGE: ACTIVATION MAP"
_DIRECTION = re.compile(r"[ALRPFH]{1,3}")


@dataclass(frozen=True, slots=True)
class Heatmap:
    """Where a model looked on one frame, drawn.

    Attributes:
        frame: number of the frame, the first is 1.
        number: of the frame among those of the result that have a heatmap, the first is 1.
        picture: RGB, uint8 (Rows, Columns, 3): the map over the film, with its scale and a disclaimer.
        levels: the map alone in the shape of the film, uint8 (Rows, Columns).
        palette: the colour of each level, uint8 (256, 3).
        meaning: what is drawn, and by which model; ASCII, at most 400 characters.
        meaning_of_levels: the same of `levels`.
        software: name and version of the model, at most 64 characters.
    """

    frame: int
    number: int
    picture: NDArray[np.uint8]
    levels: NDArray[np.uint8]
    palette: NDArray[np.uint8]
    meaning: str
    meaning_of_levels: str
    software: str


def build_heatmap(
    report: ScreeningReport, heatmap: Heatmap, source: bytes, newest: bytes | None = None
) -> list[Dataset]:
    """Build the objects of one frame.

    Args:
        report: the result that they belong to; nothing of what it states is repeated.
        heatmap: what is shown.
        source: the header of the frame's image, encoded by `dicom_io.header.encode_header`.
        newest: the header that lends its patient and study attributes, byte for byte; None: `source`.

    Returns:
        The picture as an RGB Secondary Capture; the map as a MONOCHROME2 Secondary Capture; a Pseudo-Color Softcopy
        Presentation State that colours the second. Each with file meta, ready for `save_as` or C-STORE; the same
        arguments give the same bytes.

    Raises:
        MissingAttributeError: if a header lacks a UID.

    Source: DICOM PS3.3 A.8.1, A.33.3, C.7.6.1, C.11.10.
    """
    with tolerant():
        film, lender = decode_header(source), newest or source
        picture = _capture(heatmap.picture, "overlay", report, heatmap, film, lender)
        levels = _capture(heatmap.levels, "map", report, heatmap, film, lender)
        return [picture, levels, _presentation_state(report, heatmap, levels, film, lender)]


def film_size(header: bytes) -> tuple[int, int]:
    """Return the Rows and Columns of an image.

    Args:
        header: encoded by `dicom_io.header.encode_header`.

    Raises:
        MissingAttributeError: if it does not state both.
    """
    film = decode_header(header)
    rows, columns = film.get("Rows"), film.get("Columns")
    if not rows or not columns:
        raise MissingAttributeError("Rows or Columns missing; have the sender repair the object.")
    return int(rows), int(columns)


def _uid(report: ScreeningReport, heatmap: Heatmap, film: Dataset, kind: str) -> str:
    name = f"heatmap/{sop_instance_reference(film).sop_instance_uid}/{heatmap.frame}/{kind}"
    return derive_uid(report.result_uid, name, report.corrections)


def _capture(
    pixels: NDArray[np.uint8], kind: str, report: ScreeningReport, heatmap: Heatmap, film: Dataset, lender: bytes
) -> Dataset:
    said = Dataset()
    said.SOPInstanceUID = _uid(report, heatmap, film, kind)
    said.SeriesInstanceUID = derive_uid(report.result_uid, "heatmap-series", report.corrections)
    said.InstanceNumber = 2 * heatmap.number - (kind == "overlay")
    said.SoftwareVersions = heatmap.software
    said.DerivationDescription = heatmap.meaning if kind == "overlay" else heatmap.meaning_of_levels
    said.SourceImageSequence = [_source_image(film, heatmap.frame)]
    said.PatientOrientation = _orientation(film)
    said.LossyImageCompression = _one_of(film, "LossyImageCompression", ("00", "01"))
    if kind == "overlay":  # we burn nothing in that names a patient; what the film shows is for its sender to say
        said.BurnedInAnnotation = _one_of(film, "BurnedInAnnotation", ("YES", "NO"))
    return derived_picture(
        pixels,
        report,
        lender,
        kind="heatmap",
        series_number=SERIES_NUMBER,
        description=SERIES_DESCRIPTION,
        attributes=said,
    )


def _source_image(film: Dataset, frame: int) -> Dataset:
    """Refer to the film (PS3.3 C.7.6.1, C.12.4.1.3)."""
    item, reference = Dataset(), sop_instance_reference(film)
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference.sop_class_uid, reference.sop_instance_uid
    if reference.sop_class_uid in MULTI_FRAME:
        item.ReferencedFrameNumber = frame
    item.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)]
    return item


def _orientation(film: Dataset) -> list[str] | None:
    stated = film.get("PatientOrientation")
    values = [str(value) for value in stated] if isinstance(stated, MultiValue) else []
    return values if len(values) == 2 and all(map(_DIRECTION.fullmatch, values)) else None


def _one_of(film: Dataset, keyword: str, terms: tuple[str, ...]) -> str | None:
    stated = str(film.get(keyword) or "").strip()
    return stated if stated in terms else None


def _presentation_state(
    report: ScreeningReport, heatmap: Heatmap, levels: Dataset, film: Dataset, lender: bytes
) -> Dataset:
    created = in_time_of(decode_header(lender), report.created_at)
    state = PseudoColorSoftcopyPresentationState(
        referenced_images=[_referenced(levels)],
        series_instance_uid=derive_uid(report.result_uid, "heatmap-presentation-series", report.corrections),
        series_number=PRESENTATION_SERIES_NUMBER,
        series_description=SERIES_DESCRIPTION,
        sop_instance_uid=_uid(report, heatmap, film, "presentation"),
        instance_number=heatmap.number,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=heatmap.software,
        device_serial_number=None,
        palette_color_lut_transformation=_palette(heatmap.palette),
        content_label="ACTIVATION_MAP",
        content_description="Activation map in the colours of its overlay",
        series_date=created.date(),
        series_time=created.time(),
    )
    # highdicom writes the present time and its own version here, which would differ when it is sent again.
    state.InstanceCreationDate, state.InstanceCreationTime = state.SeriesDate, state.SeriesTime
    state.PresentationCreationDate, state.PresentationCreationTime = state.SeriesDate, state.SeriesTime
    del state.ContributingEquipmentSequence
    del state.DisplayedAreaSelectionSequence[0].PixelOriginInterpretation  # which is for tiled images
    state.BodyPartExamined = "CHEST"
    return with_source_attributes(state, decode_header(lender))


def _referenced(levels: Dataset) -> Dataset:
    """Return what highdicom wants to know of the image, with empty patient and study attributes."""
    image = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Rows", "Columns"):
        setattr(image, keyword, levels[keyword].value)
    image.SamplesPerPixel = 1
    for keyword in ("PatientID", "PatientName", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(image, keyword, "")
    for keyword in ("PatientBirthDate", "StudyDate", "StudyTime"):
        setattr(image, keyword, None)
    return image


def _palette(colours: NDArray[np.uint8]) -> PaletteColorLUTTransformation:
    wide = colours.astype(np.uint16) * 257  # 16 bits, as presentation states want it: PS3.3 C.7.6.3.1.5
    red, green, blue = (
        PaletteColorLUT(0, np.ascontiguousarray(wide[:, channel]), color=name)
        for channel, name in enumerate(("red", "green", "blue"))
    )
    return PaletteColorLUTTransformation(red, green, blue)
