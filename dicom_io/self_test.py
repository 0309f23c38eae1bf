"""The object that proves the way through the service: a drawn film with a known answer."""

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from dicom_io.phantom import self_test_pixels


def self_test_object(study_instance_uid: str) -> Dataset:
    """Wrap the self-test phantom as an 8-bit Secondary Capture that preparation leaves as it is.

    Args:
        study_instance_uid: the study it shall belong to.

    Returns:
        a data set with file meta information, 224 × 224, MONOCHROME2, no window, no patient.
    """
    dataset = Dataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = generate_uid(None)
    dataset.StudyInstanceUID = study_instance_uid
    dataset.SeriesInstanceUID = generate_uid(None)
    dataset.Modality = "DX"
    dataset.ConversionType = "SYN"
    dataset.BodyPartExamined = "CHEST"
    _add_pixels(dataset)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def _add_pixels(dataset: Dataset) -> None:
    pixels = self_test_pixels()
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.tobytes()
