"""Is this a frontal chest radiograph? Judged by the header alone; no pixels, no I/O.

A stated contradiction turns an image away; a missing tag does not, for refusing would lose a patient: public data sets
and film digitisers send radiographs as Secondary Capture without a body part.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from pydicom import Dataset, uid

from dicom_io.reasons import Reason

RADIOGRAPH_CLASSES = frozenset(
    (
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.DigitalXRayImageStorageForProcessing,
        uid.SecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
    )
)
# PS3.3 C.7.3.1.1.1; DR and XR are no defined terms, but are sent.
RADIOGRAPH_MODALITIES = frozenset(("CR", "DX", "RG", "DR", "XR"))
# Chest, thorax, lung, mediastinum, heart: SNOMED CT, then the retired SNOMED-RT ids (PS3.16 Annex L).
_CHEST_CODES = frozenset(
    (
        "51185008",
        "816094009",
        "43799004",
        "39607008",
        "72410000",
        "80891009",
        "T-D3000",
        "T-28000",
        "T-D3300",
        "T-32000",
    )
)
_CHEST = re.compile(r"CHEST|THORAX|THORACIC CAVITY|TORAX|TÓRAX|TORACE|LUNG|PULMO|POUMON|CXR|MEDIASTIN|HEART|胸")
# PS3.16 Table L-1 and the words that are met in its stead.
_OTHER_PART = re.compile(
    r"ABD|ANKLE|ARM\b|ARTER|BLADDER|BRAIN|BREAST|CALCANEUS|CALF|CAROTID|CERVI|CLAVICLE|COCCYX|COLON|CRANI|CSPINE|"
    r"DENTAL|ELBOW|ESOPHAGUS|EXTREMITY|EYE|FACE|FACIAL|FEMUR|FIBULA|FINGER|FOOT|FOREARM|GALLBLADDER|HAND|HEAD|HIP|HUMERUS|"
    r"ILIUM|JAW|KIDNEY|KNEE|LARYNX|LEG\b|LIVER|LSPINE|LUMBAR|MAMMA|MANDIBLE|MAXILLA|MOUTH|NASAL|NECK|NOSE|ORBIT|PANCREAS|"
    r"PATELLA|PELVI|PROSTATE|RADIUS|RIB\b|RIBS\b|SACR|SCAPULA|SHOULDER|SINUS|SKULL|SPINE|STERNUM|STOMACH|TEETH|THIGH|THUMB|"
    r"THYROID|TIBIA|TOE\b|TOES\b|TOOTH|TSPINE|ULNA|UTERUS|WHOLE ?BODY|WRIST|ZYGOMA"
)
_DECUBITUS_VIEWS = frozenset(("LLD", "RLD"))  # a frontal beam, the patient lying on the side
_LATERAL_VIEWS = frozenset(("LL", "RL", "LAT", "LLAT", "RLAT", "LLO", "RLO", "LAO", "RAO", "LPO", "RPO", "OBL", "XTL"))
_LATERAL_WORDS = re.compile(r"LATERAL|OBLIQUE")
_NO_FILM = re.compile(r"LOCALIZER|SCREEN ?(SAVE|SHOT|CAPTURE)|SCREENSAVE|DOSE.?INFO|REPORT|DOCUMENT")
_NO_FILM_CONVERSIONS = frozenset(("SD", "DRW"))  # scanned document, drawing: PS3.3 C.8.6.1
_DAYS_PER_UNIT = {"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25, "": 365.25}
_DAYS_PER_YEAR = 365.25


@dataclass(frozen=True, slots=True)
class Suitability:
    """What the header says about the image.

    Attributes:
        in_scope: whether the image is to be screened.
        reason: why not; None where it is.
        warnings: what a reader of the flag should know, without any value of the header.
    """

    in_scope: bool
    reason: Reason | None = None
    warnings: tuple[str, ...] = ()


def assess(header: Dataset | None) -> Suitability:
    """Judge whether an object is a frontal chest radiograph.

    Args:
        header: the data set as `dicom_io.reader.read_header` gives it; None (PNG, JPEG) says nothing and is admitted.
    """
    if header is None:
        return Suitability(in_scope=True)
    reason = _kind(header) or _body_part(header) or _view(header) or _image_type(header)
    if reason is not None:
        return Suitability(in_scope=False, reason=reason)
    return Suitability(in_scope=True, warnings=tuple(_warnings(header)))


def age_years(header: Dataset | None) -> float | None:
    """The patient's age at the study.

    Returns:
        years, from Patient's Age (a bare number counts as years), else from birth date and study date; None if neither
        can be read.

    Source: PS3.5 6.2 (AS, DA), PS3.3 C.7.2.2.
    """
    if header is None:
        return None
    stated = age_string_years(_text(header, "PatientAge"))
    if stated is not None:
        return stated
    birth, study = _date(header, "PatientBirthDate"), _date(header, "StudyDate")
    if birth is None or study is None or study < birth:
        return None
    return (study - birth).days / _DAYS_PER_YEAR


def age_string_years(text: str) -> float | None:
    """Read an age string such as `046Y` or `003M`; a bare number counts as years. None for anything else.

    Source: PS3.5 6.2 (AS).
    """
    match = re.fullmatch(r"(\d{1,3})([DWMY]?)", text)
    return int(match[1]) * _DAYS_PER_UNIT[match[2]] / _DAYS_PER_YEAR if match else None


def _kind(header: Dataset) -> Reason | None:
    sop_class, modality = _text(header, "SOPClassUID"), _text(header, "Modality")
    if sop_class and sop_class not in RADIOGRAPH_CLASSES:
        return Reason.NOT_A_RADIOGRAPH if "Rows" in header else Reason.NO_PIXEL_DATA
    return Reason.NOT_A_RADIOGRAPH if modality and modality not in RADIOGRAPH_MODALITIES else None


def _body_part(header: Dataset) -> Reason | None:
    # One statement for the chest outweighs others against it.
    stated = [_text(header, "BodyPartExamined")]
    codes = set()
    for item in _items(header, "AnatomicRegionSequence"):
        codes.add(_text(item, "CodeValue"))
        stated.append(_text(item, "CodeMeaning"))
    if codes & _CHEST_CODES or any(_CHEST.search(text) for text in stated):
        return None
    return Reason.WRONG_BODY_PART if any(_OTHER_PART.search(text) for text in stated) else None


def _view(header: Dataset) -> Reason | None:
    view = _text(header, "ViewPosition")
    words = [view, *(_text(item, "CodeMeaning") for item in _items(header, "ViewCodeSequence"))]
    lateral = view in _LATERAL_VIEWS or any(_LATERAL_WORDS.search(w) and "DECUBITUS" not in w for w in words)
    return Reason.LATERAL_VIEW if lateral else None


def _image_type(header: Dataset) -> Reason | None:
    no_film = _NO_FILM.search(_text(header, "ImageType").replace("_", " "))
    return Reason.DERIVED_IMAGE if no_film or _text(header, "ConversionType") in _NO_FILM_CONVERSIONS else None


def _warnings(header: Dataset) -> Iterator[str]:
    part, view = _text(header, "BodyPartExamined"), _text(header, "ViewPosition")
    regions = [_text(item, "CodeMeaning") for item in _items(header, "AnatomicRegionSequence")]
    if not part and not regions:
        yield "body part not stated"
    elif any(_OTHER_PART.search(text) for text in (part, *regions)):
        yield "body part stated in two ways"
    elif not any(_CHEST.search(text) for text in (part, *regions)):
        yield "body part not recognised"
    if view in _DECUBITUS_VIEWS:
        yield "decubitus view"


def _items(header: Dataset, keyword: str) -> list[Dataset]:
    value = header.get(keyword)
    return list(value) if value else []


def _text(dataset: Dataset, keyword: str) -> str:
    # One upper-case string; several values joined by spaces.
    value = dataset.get(keyword)
    if value is None:
        return ""
    values = [value] if isinstance(value, (str, int, float)) else list(value)
    return " ".join(str(part) for part in values).strip().upper()


def _date(header: Dataset, keyword: str) -> date | None:
    try:
        return date.fromisoformat(_text(header, keyword).replace(".", ""))
    except ValueError:
        return None
