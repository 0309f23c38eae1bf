"""Objects and requests that try to get a patient into a log, or a file out of its folder."""

import warnings
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from dicom_io.phantom import phantom_dataset

PATIENT_NAME = "Zweifelhaft^Chaosine^Ottilie"
PATIENT_ID = "PID-4711-0815"
BIRTH_DATE = "19340228"
SECRETS = ("Zweifelhaft", "Chaosine", "Ottilie", "4711-0815", BIRTH_DATE, "1934-02-28")

MALFORMED_STUDY = "2.25.13"
SIDE = 256  # pixels


def film(seed: int, **how: object) -> Dataset:
    """Draw a film of the patient."""
    dataset = phantom_dataset(seed, kind="CR", rows=SIDE, columns=SIDE, **how)  # type: ignore[arg-type]
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = PATIENT_NAME, PATIENT_ID, BIRTH_DATE
    return dataset


def lateral() -> Dataset:
    """A film that is out of scope."""
    dataset = film(11)
    dataset.ViewPosition = "LL"
    return dataset


def truncated() -> Dataset:
    """A film whose pixels end early."""
    dataset = film(12)
    dataset.PixelData = dataset.PixelData[: SIDE * SIDE]
    return dataset


def malformed() -> Dataset:
    """A film whose every text of the patient breaks a rule of its value representation."""
    return _with_raw(
        film(13, study_instance_uid=MALFORMED_STUDY),
        SpecificCharacterSet="ISO_IR 999",
        PatientBirthDate=f"born {BIRTH_DATE}",
        PatientID=f"{PATIENT_ID} of {PATIENT_NAME} " * 4,
        PatientName="^".join([PATIENT_NAME] * 9),
        PatientAge=f"{PATIENT_ID}Y",
        PatientSex=PATIENT_NAME,
        PatientSize=f"{BIRTH_DATE}cm",
        StudyDate=f"after {BIRTH_DATE}",
        StudyTime=PATIENT_NAME,
    )


def misnamed(uid: str) -> Dataset:
    """A film of which every UID is what it is told."""
    dataset = _with_raw(film(14), StudyInstanceUID=uid, SeriesInstanceUID=uid, SOPInstanceUID=uid)
    _with_raw(dataset.file_meta, MediaStorageSOPInstanceUID=uid)
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    """Write a data set, whatever is wrong with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(path, enforce_file_format=True)
    return path


def _with_raw(dataset: Any, **values: str) -> Any:
    # As bytes, which pydicom writes as they are.
    for keyword, value in values.items():
        tag = Tag(tag_for_keyword(keyword) or 0)
        encoded = value.encode() + b" " * (len(value.encode()) % 2)
        dataset[tag] = RawDataElement(tag, dictionary_VR(tag), len(encoded), encoded, 0, False, True)
    return dataset
