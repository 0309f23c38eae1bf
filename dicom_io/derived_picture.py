"""A drawn picture as a Secondary Capture (PS3.3 A.8.1) of the study that it tells of."""

import numpy as np
from highdicom.sc import SCImage
from numpy.typing import NDArray
from pydicom import Dataset

from dicom_io.header import decode_header
from dicom_io.identity import sop_instance_reference
from dicom_io.part10 import tolerant
from dicom_io.repeating import in_time_of, with_source_attributes
from dicom_io.report import MANUFACTURER, ScreeningReport, derive_uid


def derived_picture(
    pixels: NDArray[np.uint8],
    report: ScreeningReport,
    header: bytes,
    *,
    kind: str,
    series_number: int,
    description: str,
    attributes: Dataset | None = None,
) -> Dataset:
    """Wrap a picture that we drew, without any text about the patient in it.

    Args:
        pixels: grey levels, shape (Rows, Columns), 0 is black; or RGB, shape (Rows, Columns, 3).
        report: whose UIDs, dates and model are taken.
        header: lends its patient and study attributes, byte for byte; encoded by `dicom_io.header.encode_header`.
        kind: which object of the result it is; see `dicom_io.report.derive_uid`. Its series is `<kind>-series`.
        series_number: of that series.
        description: of that series.
        attributes: what is said of the picture beside or instead of all that, in ASCII.

    Returns:
        A Secondary Capture with file meta, Explicit VR Little Endian, ready for `save_as` or C-STORE; the same
        arguments give the same bytes.

    Raises:
        MissingAttributeError: if the header lacks a UID.

    Source: DICOM PS3.3 A.8.1, C.8.6.1.
    """
    with tolerant():
        source = decode_header(header)
        created = in_time_of(source, report.created_at)
        picture = SCImage(
            pixel_array=pixels,
            photometric_interpretation="MONOCHROME2" if pixels.ndim == 2 else "RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            patient_orientation=("L", "P"),
            study_instance_uid=sop_instance_reference(source).study_instance_uid,
            series_instance_uid=derive_uid(report.result_uid, f"{kind}-series", report.corrections),
            series_number=series_number,
            series_description=description,
            sop_instance_uid=derive_uid(report.result_uid, kind, report.corrections),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MANUFACTURER,
            software_versions=f"{report.model_name} {report.model_version}",
            series_date=created.date(),
            series_time=created.time(),
            content_date=created.date(),
            content_time=created.time(),
        )
        _correct(picture)
        picture.update(attributes or {})
        return with_source_attributes(picture, decode_header(header))


def _correct(picture: Dataset) -> None:
    """Say what highdicom cannot be told, and take back the present time and its own version, which would differ."""
    picture.ConversionType = "WSD"
    picture.PatientOrientation = None
    picture.BodyPartExamined = "CHEST"
    picture.BurnedInAnnotation = "NO"
    picture.InstanceCreationDate, picture.InstanceCreationTime = picture.ContentDate, picture.ContentTime
    picture.DateOfSecondaryCapture, picture.TimeOfSecondaryCapture = picture.ContentDate, picture.ContentTime
    del picture.ContributingEquipmentSequence
