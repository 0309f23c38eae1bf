"""Who is let in by the header: frontal chest radiographs, and whatever does not say that it is something else."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, uid

from dicom_io.part10 import tolerant
from dicom_io.reader import read_header
from dicom_io.reasons import Reason
from dicom_io.suitability import age_years, assess

OUT = {
    "other/dicom-test-files__CT1_J2KR": Reason.NOT_A_RADIOGRAPH,
    "other/dicom-test-files__CT1_JPLL": Reason.NOT_A_RADIOGRAPH,
    "other/dicom-test-files__CT1_RLE": Reason.NOT_A_RADIOGRAPH,
    "other/dicom-test-files__MG1_J2KI": Reason.WRONG_BODY_PART,
    "other/dicom-test-files__MR1_JLSL": Reason.NOT_A_RADIOGRAPH,
    "other/dicom-test-files__MR1_JPLY": Reason.NOT_A_RADIOGRAPH,
    "other/dicom-test-files__NM1_J2KI": Reason.NOT_A_RADIOGRAPH,
    "other/dicom-test-files__US1_J2KI": Reason.NOT_A_RADIOGRAPH,
    "other/dicom-test-files__VL1_RLE": Reason.NOT_A_RADIOGRAPH,
    "other/fo-dicom__GH133": Reason.NOT_A_RADIOGRAPH,
    "other/highdicom__ct_image": Reason.NOT_A_RADIOGRAPH,
    "other/highdicom__dx_image": None,  # a dog; only its picture can tell
    "other/nccid__sample": Reason.NOT_A_RADIOGRAPH,
}


def code(meaning: str, value: str = "1") -> list[Dataset]:
    """A code sequence of one item."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return [item]


def header(**attributes: Any) -> Dataset:
    """A chest film of a DX machine, unless the attributes say otherwise; None leaves one out."""
    dataset = Dataset()
    usual = {
        "SOPClassUID": uid.DigitalXRayImageStorageForPresentation,
        "Modality": "DX",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "Rows": 2500,
    }
    with tolerant():
        for keyword, value in (usual | attributes).items():
            if value is not None:
                setattr(dataset, keyword, value)
    return dataset


def test_every_real_file(shared_data: Path) -> None:
    """Chest films are in, hips and other modalities out for the right reason, by what their pictures show."""
    for path in sorted((shared_data / "dicom").glob("*/*.dcm")):
        name = f"{path.parent.name}/{path.stem}"
        hip = Reason.WRONG_BODY_PART if "__RG2_" in name else None
        result = assess(read_header(path))
        assert result.reason == OUT.get(name, hip), name
        assert result.in_scope is (result.reason is None), name


ADMITTED: dict[str, dict[str, Any]] = {
    "chest": {},
    "thorax": {"BodyPartExamined": "THORAX"},
    "another language": {"BodyPartExamined": "Tórax PA"},
    "small letters": {"BodyPartExamined": "chest", "Modality": "dx"},
    "chest and abdomen": {"BodyPartExamined": "CHESTABDOMEN"},
    "no body part": {"BodyPartExamined": None},
    "unknown body part": {"BodyPartExamined": "UNKNOWN"},
    "no tags at all": dict.fromkeys(("SOPClassUID", "Modality", "BodyPartExamined", "ViewPosition", "ImageType")),
    "digitised film": {"SOPClassUID": uid.SecondaryCaptureImageStorage, "Modality": "RG", "ConversionType": "DF"},
    "converted by a workstation": {"SOPClassUID": uid.SecondaryCaptureImageStorage, "ConversionType": "WSD"},
    "computed radiography": {"SOPClassUID": uid.ComputedRadiographyImageStorage, "Modality": "CR"},
    "for processing": {"SOPClassUID": uid.DigitalXRayImageStorageForProcessing},
    "antero-posterior": {"ViewPosition": "AP"},
    "view as a code": {"ViewPosition": None, "ViewCodeSequence": code("antero-posterior")},
    "region as a code": {"BodyPartExamined": None, "AnatomicRegionSequence": code("Regio thoracica", "51185008")},
    "one of two says chest": {"BodyPartExamined": "ABDOMEN", "AnatomicRegionSequence": code("Chest")},
    "decubitus": {"ViewPosition": "LLD"},
    "compressed again": {"ImageType": ["DERIVED", "PRIMARY"]},
    "empty sequences": {"AnatomicRegionSequence": [], "ViewCodeSequence": []},
}


@pytest.mark.parametrize("attributes", ADMITTED.values(), ids=ADMITTED.keys())
def test_admitted(attributes: dict[str, Any]) -> None:
    """What says chest, or does not say what it is, is screened: refusing would lose a patient."""
    assert assess(header(**attributes)).in_scope


TURNED_AWAY: dict[str, tuple[dict[str, Any], Reason]] = {
    "CT": ({"SOPClassUID": uid.CTImageStorage, "Modality": "CT"}, Reason.NOT_A_RADIOGRAPH),
    "secondary capture of an MR": (
        {"SOPClassUID": uid.SecondaryCaptureImageStorage, "Modality": "MR"},
        Reason.NOT_A_RADIOGRAPH,
    ),
    "other": ({"SOPClassUID": uid.SecondaryCaptureImageStorage, "Modality": "OT"}, Reason.NOT_A_RADIOGRAPH),
    "mammogram": (
        {"SOPClassUID": uid.DigitalMammographyXRayImageStorageForPresentation, "Modality": "MG"},
        Reason.NOT_A_RADIOGRAPH,
    ),
    "key object selection": (
        {"SOPClassUID": uid.KeyObjectSelectionDocumentStorage, "Modality": "KO", "Rows": None},
        Reason.NO_PIXEL_DATA,
    ),
    "hip": ({"BodyPartExamined": "HIP"}, Reason.WRONG_BODY_PART),
    "hand in words": ({"BodyPartExamined": "Hand li. ap"}, Reason.WRONG_BODY_PART),
    "thoracic spine": ({"BodyPartExamined": "TSPINE"}, Reason.WRONG_BODY_PART),
    "abdomen as a code": (
        {"BodyPartExamined": None, "AnatomicRegionSequence": code("Abdomen")},
        Reason.WRONG_BODY_PART,
    ),
    "lateral": ({"ViewPosition": "LL"}, Reason.LATERAL_VIEW),
    "lateral in words": ({"ViewPosition": "LATERAL"}, Reason.LATERAL_VIEW),
    "lateral as a code": ({"ViewPosition": None, "ViewCodeSequence": code("left lateral")}, Reason.LATERAL_VIEW),
    "oblique": ({"ViewPosition": "RAO"}, Reason.LATERAL_VIEW),
    "localizer": ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, Reason.DERIVED_IMAGE),
    "screen capture": ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, Reason.DERIVED_IMAGE),
    "scanned form": (
        {"SOPClassUID": uid.SecondaryCaptureImageStorage, "ConversionType": "SD"},
        Reason.DERIVED_IMAGE,
    ),
}


@pytest.mark.parametrize(("attributes", "reason"), TURNED_AWAY.values(), ids=TURNED_AWAY.keys())
def test_turned_away(attributes: dict[str, Any], reason: Reason) -> None:
    """What says that it is no frontal chest radiograph is turned away with the reason for it."""
    result = assess(header(**attributes))
    assert (result.in_scope, result.reason) == (False, reason)


def test_pictures_without_a_header_are_admitted() -> None:
    """PNG and JPEG say nothing of themselves."""
    assert assess(None).in_scope
    assert age_years(None) is None


@pytest.mark.parametrize(
    ("attributes", "warnings"),
    [
        ({}, ()),
        ({"BodyPartExamined": None}, ("body part not stated",)),
        ({"BodyPartExamined": "ZONE 7"}, ("body part not recognised",)),
        ({"BodyPartExamined": "CHESTABDOMEN"}, ("body part stated in two ways",)),
        ({"ViewPosition": "RLD"}, ("decubitus view",)),
    ],
)
def test_doubts_are_said(attributes: dict[str, Any], warnings: tuple[str, ...]) -> None:
    """An image that is let in with a doubt carries it as a warning."""
    assert assess(header(**attributes)).warnings == warnings


@given(st.dictionaries(st.sampled_from(["Modality", "BodyPartExamined", "ViewPosition", "PatientAge"]), st.text()))
def test_any_text_is_judged(texts: dict[str, str]) -> None:
    """Whatever text a header holds, it is judged, and out of scope exactly with a reason."""
    dataset = header()
    with tolerant():
        for keyword, text in texts.items():
            dataset.add_new(keyword, "LO", text.replace("\\", ""))
    result = assess(dataset)
    assert result.in_scope is (result.reason is None)
    age = age_years(dataset)
    assert age is None or age >= 0


@pytest.mark.parametrize(
    ("attributes", "years"),
    [
        ({"PatientAge": "062Y"}, 62),
        ({"PatientAge": "62"}, 62),
        ({"PatientAge": "018M"}, 1.5),
        ({"PatientAge": "026W"}, 0.498),
        ({"PatientAge": "010D"}, 0.0274),
        ({"PatientAge": "000Y"}, 0),
        ({"PatientBirthDate": "20180601", "StudyDate": "20200601"}, 2),
        ({"PatientAge": "", "PatientBirthDate": "20180601", "StudyDate": "20200601"}, 2),
        ({"PatientAge": "old", "PatientBirthDate": "00000000", "StudyDate": "20200601"}, None),
        ({"PatientBirthDate": "20210601", "StudyDate": "20200601"}, None),
        ({"PatientBirthDate": "20210601"}, None),
        ({}, None),
    ],
)
def test_age(attributes: dict[str, str], years: float | None) -> None:
    """The age is Patient's Age in its unit, else the time from birth to study, else unknown."""
    dataset = Dataset()
    for keyword, value in attributes.items():
        dataset.add_new(keyword, "LO", value)
    age = age_years(dataset)
    assert age == (None if years is None else pytest.approx(years, abs=0.005))
