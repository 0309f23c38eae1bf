"""Small DICOM films with any header, built for tests."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, uid
from pydicom.dataset import FileMetaDataset

UIDS = {
    "StudyInstanceUID": "2.25.1",
    "SeriesInstanceUID": "2.25.2",
    "SOPInstanceUID": "2.25.3",
    "SOPClassUID": uid.DigitalXRayImageStorageForPresentation,
}
GREY_16 = {
    "BitsAllocated": 16,
    "BitsStored": 12,
    "HighBit": 11,
    "PixelRepresentation": 0,
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
}
GREY_8 = GREY_16 | {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}


def film(words: NDArray[np.generic] | bytes, **attributes: object) -> Dataset:
    """A film of 12 bits in 16, unless the attributes say otherwise; None leaves an attribute out.

    Args:
        words: the pixels, shape (rows, columns), or bytes to be put in as they are.
        attributes: by keyword.
    """
    dataset = Dataset()
    size = {} if isinstance(words, bytes) else {"Rows": words.shape[0], "Columns": words.shape[1]}
    for keyword, value in (UIDS | GREY_16 | {"Modality": "DX"} | size | attributes).items():
        if value is not None:
            setattr(dataset, keyword, value)
    data = words if isinstance(words, bytes) else words.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW" if dataset.get("BitsAllocated") == 16 else "OB"
    return dataset


def save(dataset: Dataset, path: Path, syntax: str = uid.ExplicitVRLittleEndian) -> Path:
    """Write a data set as a DICOM file; pixels of big-endian files are swapped from little endian."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID") or UIDS["SOPClassUID"]
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID") or UIDS["SOPInstanceUID"]
    if syntax == uid.ExplicitVRBigEndian and dataset["PixelData"].VR == "OW":
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    if not uid.UID(syntax).is_implicit_VR and uid.UID(syntax).is_encapsulated:
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, enforce_file_format=True)
    return path


def gradient(rows: int = 60, columns: int = 80, top: int = 4095) -> NDArray[np.uint16]:
    """A film that shows every error of place: brighter to the right and to the bottom, with some grain."""
    plane = np.linspace(0, 1, rows)[:, None] * 0.4 + np.linspace(0, 1, columns)[None, :] * 0.6
    grain = np.random.default_rng(1).normal(0, 0.02, plane.shape)
    return np.asarray(np.clip((plane + grain) * top, 0, top).astype(np.uint16))
