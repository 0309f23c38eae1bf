"""Wrapping a plain picture as a DICOM object, where a film comes without one."""

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid


def secondary_capture(pixels: NDArray[np.uint8], study_instance_uid: str) -> Dataset:
    """Wrap a picture as a Secondary Capture of a chest, with fresh UIDs and no patient.

    Args:
        pixels: grey levels, shape (Rows, Columns), 0 is black.
        study_instance_uid: the study it shall belong to.

    Returns:
        an 8-bit MONOCHROME2 data set without window, with file meta information.

    Source: DICOM PS3.3 A.8.1.
    """
    dataset = Dataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = generate_uid(None)
    dataset.StudyInstanceUID = study_instance_uid
    dataset.SeriesInstanceUID = generate_uid(None)
    dataset.Modality = "DX"
    dataset.ConversionType = "SYN"
    dataset.BodyPartExamined = "CHEST"
    _add_pixels(dataset, pixels)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def _add_pixels(dataset: Dataset, pixels: NDArray[np.uint8]) -> None:
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)  # PS3.5 8.1.1: even length
