"""Key Object Selection documents, as a PACS sends them to take objects back."""

from collections.abc import Iterable

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, KeyObjectSelectionDocumentStorage

from dicom_io.rejection import Rejection

NOTE = "2.25.5001"


def _code(value: str, meaning: str, scheme: str = "DCM") -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _reference(sop_instance_uid: str) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = ComputedRadiographyImageStorage
    reference.ReferencedSOPInstanceUID = sop_instance_uid
    return reference


def _study(study_instance_uid: str, films: Iterable[str]) -> Dataset:
    study, series = Dataset(), Dataset()
    study.StudyInstanceUID, series.SeriesInstanceUID = study_instance_uid, f"{study_instance_uid}.0"
    series.ReferencedSOPSequence = [_reference(film) for film in films]
    study.ReferencedSeriesSequence = [series]
    return study


def _selected(film: str) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "IMAGE"
    item.ReferencedSOPSequence = [_reference(film)]
    return item


def key_objects(
    films: dict[str, tuple[str, ...]], title: str = Rejection.QUALITY, *, uid: str = NOTE, scheme: str = "DCM"
) -> Dataset:
    """A Key Object Selection of films by study; it belongs to the first study that it names, or to one of its own."""
    document = Dataset()
    document.SOPClassUID, document.SOPInstanceUID = KeyObjectSelectionDocumentStorage, uid
    document.StudyInstanceUID, document.SeriesInstanceUID = next(iter(films), "2.25.9"), "2.25.5000"
    document.Modality, document.Manufacturer = "KO", "A PACS"
    document.PatientID, document.PatientName = "P1", "Notes^Nora"
    document.ValueType, document.ContinuityOfContent = "CONTAINER", "SEPARATE"
    document.ConceptNameCodeSequence = [_code(title, "a title", scheme)]
    document.CurrentRequestedProcedureEvidenceSequence = [_study(study, uids) for study, uids in films.items()]
    document.ContentSequence = [_selected(film) for uids in films.values() for film in uids]
    document.file_meta = FileMetaDataset()
    document.file_meta.MediaStorageSOPClassUID = document.SOPClassUID
    document.file_meta.MediaStorageSOPInstanceUID = document.SOPInstanceUID
    document.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return document
