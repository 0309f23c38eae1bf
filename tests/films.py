"""Small DICOM films with any header, built for tests."""

from pathlib import Path

import imagecodecs
import numpy as np
import rle
from numpy.typing import NDArray
from pydicom import Dataset, uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate

from dicom_io.part10 import tolerant
from dicom_io.transfer_syntaxes import NATIVE

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
    with tolerant():  # to what a broken sender would write
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
    with tolerant():
        dataset.save_as(path, enforce_file_format=True)
    return path


def gradient(rows: int = 60, columns: int = 80, top: int = 4095) -> NDArray[np.uint16]:
    """A film that shows every error of place: brighter to the right and to the bottom, with some grain."""
    plane = np.linspace(0, 1, rows)[:, None] * 0.4 + np.linspace(0, 1, columns)[None, :] * 0.6
    grain = np.random.default_rng(1).normal(0, 0.02, plane.shape)
    return np.asarray(np.clip((plane + grain) * top, 0, top).astype(np.uint16))


def encoded_films(words: NDArray[np.uint16], **attributes: object) -> dict[str, Dataset]:
    """One film in every coding, by transfer syntax; 8 bits where the coding has no more.

    Args:
        words: a film of 12 bits.
        attributes: by keyword, for every film.
    """
    rows, columns = words.shape
    bytes_8 = (words >> 4).astype(np.uint8)
    whole = {"Rows": rows, "Columns": columns} | attributes
    streams = {
        uid.JPEGExtended12Bit: imagecodecs.jpeg_encode(words, level=95, bitspersample=12),
        uid.JPEGLossless: imagecodecs.ljpeg_encode(words, bitspersample=12),
        uid.JPEGLosslessSV1: imagecodecs.ljpeg_encode(words, bitspersample=12),
        uid.JPEGLSLossless: imagecodecs.jpegls_encode(words),
        uid.JPEGLSNearLossless: imagecodecs.jpegls_encode(words, level=2),
        uid.JPEG2000Lossless: imagecodecs.jpeg2k_encode(words, level=0, reversible=True, codecformat="J2K"),
        uid.JPEG2000: imagecodecs.jpeg2k_encode(words, level=60, codecformat="J2K"),
        uid.HTJ2KLossless: imagecodecs.htj2k_encode(words),
        uid.HTJ2KLosslessRPCL: imagecodecs.htj2k_encode(words),
        uid.HTJ2K: imagecodecs.htj2k_encode(words),
        uid.RLELossless: rle.encode_pixel_data(
            words.tobytes(),
            samples_per_pixel=1,
            bits_allocated=16,
            bits_stored=12,
            number_of_frames=1,
            rows=rows,
            columns=columns,
            byteorder="<",
        ),
    }
    films = {syntax: film(encapsulate([bytes(stream)]), **whole) for syntax, stream in streams.items()}
    baseline = bytes(imagecodecs.jpeg_encode(bytes_8, level=95))
    films[uid.JPEGBaseline8Bit] = film(encapsulate([baseline]), **(GREY_8 | whole))
    for syntax in NATIVE:
        films[syntax] = film(words, **attributes)
    return films
