"""The picture that tells a screening result to people whose PACS takes no structured report."""

import textwrap
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset

from dicom_io.derived_picture import derived_picture
from dicom_io.report import ReportForm, ScreenedImage, ScreeningReport, describe

SERIES_NUMBER = 9103
COLUMNS, ROWS = 1024, 768
MOST_IMAGES = 3  # that are told one by one, the flagged ones first

_MARGIN, _BLACK, _WHITE, _GREY = 40, 0, 255, 190
_HEADING, _TEXT = 44, 20  # font sizes, in pixels
_LINE = 27  # from one line to the next, in pixels
_CHARACTERS = 80  # of a line, at most
_MOST_WARNINGS = 4  # lines of them

_ALWAYS = (
    "Preliminary, unverified AI result. It says nothing about the absence of any finding.",
    "A suggestion for the order of reading. Research use only; not a medical device.",
)


def build_picture(report: ScreeningReport, header: bytes) -> Dataset:
    """Build the Secondary Capture that shows a screening result as text.

    Args:
        report: what is stated.
        header: lends its patient and study attributes, byte for byte; encoded by `dicom_io.header.encode_header`.

    Returns:
        A Secondary Capture with file meta, 8 bit, MONOCHROME2; see `dicom_io.derived_picture`.

    Raises:
        MissingAttributeError: if the header lacks a UID.

    Source: DICOM PS3.3 A.8.1.
    """
    kind = ReportForm.SECONDARY_CAPTURE.kind
    return derived_picture(
        draw(report), report, header, kind=kind, series_number=SERIES_NUMBER, description=describe(report)
    )


def draw(report: ScreeningReport) -> NDArray[np.uint8]:
    """Draw a screening result as text in Pillow's own font; nothing about the patient is in it.

    Returns:
        Grey levels, shape (768, 1024); the same for the same report, as long as Pillow draws its font as it does.
    """
    picture = Image.new("L", (COLUMNS, ROWS), _BLACK)
    canvas, text = ImageDraw.Draw(picture), ImageFont.load_default(_TEXT)
    canvas.text((_MARGIN, _MARGIN), describe(report), fill=_WHITE, font=ImageFont.load_default(_HEADING))
    top = _MARGIN + 3 * _HEADING // 2
    for number, line in enumerate(lines(report)):
        canvas.text((_MARGIN, top + number * _LINE), line, fill=_WHITE, font=text)
    for number, line in enumerate(_ALWAYS):
        canvas.text((_MARGIN, ROWS - _MARGIN - (len(_ALWAYS) - number) * _LINE), line, fill=_GREY, font=text)
    return np.asarray(picture)


def lines(report: ScreeningReport) -> list[str]:
    """Return what is drawn between the heading and the reservations that every picture carries."""
    warnings = [line for text in report.warnings for line in _wrapped(f"Warning: {text}")]
    told = report.created_at.isoformat(" ", "minutes")
    return [
        *_study(report),
        "",
        *_images(report),
        *warnings[:_MOST_WARNINGS],
        *(["More warnings: see the service."] if len(warnings) > _MOST_WARNINGS else []),
        "",
        *_wrapped(f"Model: {report.model_name} {report.model_version}, card sha256 {report.model_sha256[:16]}"),
        f"Told at {told}",
    ]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _CHARACTERS)


def _study(report: ScreeningReport) -> Iterator[str]:
    if report.flagged:
        yield "Suspected pneumonia. Suggested reading priority: high."
    if report.waiting:
        yield "Suggested reading priority: high, since nobody has read the study for too long."
        yield "This says nothing of any finding."
    if report.withdrawn:
        yield "The AI's flag was withdrawn by a reader; this says nothing about absence."
    yield "Study screened by AI." if report.reason is None else f"Study not screened by AI: {report.reason.value}."
    stage = "every image of the study has been dealt with" if report.complete else "told before every image was done"
    yield f"Stage: {stage}."


def _images(report: ScreeningReport) -> Iterator[str]:
    """Tell the flagged images first; like the structured report, give no probability of any other."""
    told = sorted(report.images, key=lambda image: not image.flagged)
    for image in told[:MOST_IMAGES]:
        yield f"Image {image.sop_instance_uid}"
        yield f"    frame {image.frame}: {_statement(image)}"
    if len(told) > MOST_IMAGES:
        yield f"and {len(told) - MOST_IMAGES} more images"


def _statement(image: ScreenedImage) -> str:
    if image.reason is not None:
        return f"not screened: {image.reason.value}"
    threshold = "" if image.threshold is None else f", threshold {100 * image.threshold:.2f} %"
    if image.withdrawn:
        return f"screened; flag withdrawn by a reader{threshold}"
    if image.flagged and image.probability is not None:
        return f"suspected pneumonia, probability {100 * image.probability:.2f} %{threshold}"
    return f"screened{threshold}"
