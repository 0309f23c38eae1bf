"""Synthetic chest radiographs and their DICOM objects: for the demo, the tests and the self-test of the service.

The pictures show the plumbing, not the accuracy: they are drawn, no patient was imaged.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from dicom_io import anatomy

DRAWING_SIZE = 320
SELF_TEST_SEED = 7

PhantomKind = Literal["CR", "DX", "DX for processing", "SC"]

_SOP_CLASSES: dict[PhantomKind, uid.UID] = {
    "CR": uid.ComputedRadiographyImageStorage,
    "DX": uid.DigitalXRayImageStorageForPresentation,
    "DX for processing": uid.DigitalXRayImageStorageForProcessing,
    "SC": uid.SecondaryCaptureImageStorage,
}

# How imagecodecs writes stored values of so many bits in each compressed transfer syntax.
_ENCODERS: dict[str, Callable[[Any, NDArray[Any], int], bytes]] = {
    uid.JPEGBaseline8Bit: lambda codecs, values, _: codecs.jpeg_encode(values, level=95),
    uid.JPEGExtended12Bit: lambda codecs, values, bits: codecs.jpeg_encode(values, level=95, bitspersample=bits),
    uid.JPEGLosslessSV1: lambda codecs, values, bits: codecs.ljpeg_encode(values, bitspersample=bits),
    uid.JPEGLSLossless: lambda codecs, values, _: codecs.jpegls_encode(values),
    uid.JPEG2000Lossless: lambda codecs, values, bits: codecs.jpeg2k_encode(
        values, level=0, reversible=True, codecformat="j2k", bitspersample=bits
    ),
    uid.JPEG2000: lambda codecs, values, bits: codecs.jpeg2k_encode(
        values, level=60, codecformat="j2k", bitspersample=bits
    ),
}
_LOSSY_METHODS = {
    uid.JPEGBaseline8Bit: "ISO_10918_1",
    uid.JPEGExtended12Bit: "ISO_10918_1",
    uid.JPEG2000: "ISO_15444_1",
}
_BYTE = 8


def draw(seed: int, *, opacity: bool, rows: int = 1024, columns: int = 1024) -> NDArray[np.uint16]:
    """Draw a frontal chest radiograph; the same arguments give the same bytes on every platform.

    Args:
        seed: which imagined patient.
        opacity: with an opacity in one lung field, or without.
        rows: height in pixels.
        columns: width in pixels.

    Returns:
        Stored values in [0, 4095] (12 bits), bright is dense (MONOCHROME2), shape (rows, columns).
    """
    dice = anatomy.Dice(seed)
    density = _enlarge(_film(dice, opacity=opacity), rows, columns)
    noisy = density + 0.03 * dice.grain(rows, columns)
    return np.rint(np.clip(noisy, 0.0, 1.0) * 4095.0).astype(np.uint16)


def self_test_pixels() -> NDArray[np.uint8]:
    """Return the prepared picture that every start of a model scores: shape (224, 224), with an opacity."""
    return (draw(SELF_TEST_SEED, opacity=True, rows=224, columns=224) >> 4).astype(np.uint8)


def _film(dice: anatomy.Dice, *, opacity: bool) -> anatomy.Plane:
    x, y = anatomy.grid(DRAWING_SIZE, DRAWING_SIZE)
    body = anatomy.Body.throw(dice)
    torso = anatomy.torso(x, y, body)
    heart = anatomy.heart(x, y, body)
    air = np.maximum(anatomy.lung(x, y, -1, body), anatomy.lung(x, y, 1, body)) * (1.0 - 0.88 * heart)
    film = 0.03 + torso * (0.60 + 0.06 * y) - 0.44 * air
    film += 0.16 * air * anatomy.vessels(x, y, dice)
    film += torso * (0.10 * anatomy.ribs(x, y, body) + 0.16 * anatomy.clavicles(x, y) + 0.10 * anatomy.spine(x, y))
    film -= 0.10 * anatomy.soft(0.05 - np.abs(x) + 0.0 * y, 0.04) * anatomy.soft(-0.35 - y, 0.1)  # trachea
    film -= 0.14 * anatomy.ellipse(x, y, (0.46, body.diaphragm + 0.24), (0.13, 0.08), 0.07)  # gastric air
    if opacity:
        film += 0.36 * air * anatomy.consolidation(x, y, dice)
    marked: anatomy.Plane = np.maximum(film, _marker(x, y))
    return marked


def _marker(x: anatomy.Plane, y: anatomy.Plane) -> anatomy.Plane:
    """Cover the lead letter L that marks the patient's left."""
    upright = anatomy.stroke(x, y, (0.88, -0.94), (0.88, -0.86), (0.010, 0.010))
    foot = anatomy.stroke(x, y, (0.88, -0.86), (0.92, -0.86), (0.010, 0.010))
    letter: anatomy.Plane = np.maximum(upright, foot) * 0.97
    return letter


def _enlarge(plane: anatomy.Plane, rows: int, columns: int) -> anatomy.Plane:
    """Resample linearly to (rows, columns)."""
    down, across = _weights(plane.shape[0], rows), _weights(plane.shape[1], columns)
    tall = plane[down[0]] * (1.0 - down[1])[:, np.newaxis] + plane[down[0] + 1] * down[1][:, np.newaxis]
    return tall[:, across[0]] * (1.0 - across[1]) + tall[:, across[0] + 1] * across[1]


def _weights(size: int, wanted: int) -> tuple[NDArray[np.int64], anatomy.Plane]:
    position = np.clip((np.arange(wanted) + 0.5) * (size / wanted) - 0.5, 0.0, size - 1.000001)
    index = np.floor(position).astype(np.int64)
    return index, position - index


def phantom_dataset(
    seed: int,
    *,
    opacity: bool = False,
    kind: PhantomKind = "DX",
    rows: int = 1024,
    columns: int = 1024,
    monochrome1: bool = False,
    transfer_syntax_uid: str = uid.ExplicitVRLittleEndian,
    character_set: str | Sequence[str] = "ISO_IR 192",
    patient_name: str = "Phantom^Chest",
    patient_id: str | None = None,
    patient_age: str = "045Y",
    accession_number: str = "",
    study_instance_uid: str | None = None,
) -> Dataset:
    """Draw a phantom and wrap it in a valid DICOM object with fresh UIDs.

    Args:
        seed: see `draw`.
        opacity: see `draw`.
        kind: Computed Radiography, Digital X-Ray (For Presentation or For Processing) or Secondary Capture (8 bits).
        rows: see `draw`.
        columns: see `draw`.
        monochrome1: store the negative and say so.
        transfer_syntax_uid: an uncompressed one, RLE, or one of JPEG's, which need imagecodecs; the JPEGs of
            12 bits take no Secondary Capture, JPEG Baseline takes nothing else.
        character_set: one or several terms of Specific Character Set, e.g. `("", "ISO 2022 IR 87")`.
        patient_name: encoded with `character_set`.
        patient_id: "PHANTOM-<seed>" if None.
        patient_age: an age string, e.g. "003M"; empty if unknown.
        accession_number: at most 16 characters.
        study_instance_uid: a study to join; a fresh one if None.

    Returns:
        The object with its file meta information, ready for `save_as(path, enforce_file_format=True)`.

    Raises:
        KeyError: if there is no encoder for the transfer syntax.

    Source: DICOM PS3.3 A.2 (CR), A.26 (DX), A.8 (SC).
    """
    dataset = Dataset()
    dataset.SpecificCharacterSet = character_set if isinstance(character_set, str) else list(character_set)
    dataset.PatientName = patient_name
    dataset.PatientID = f"PHANTOM-{seed}" if patient_id is None else patient_id
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = "", "O", patient_age
    dataset.AccessionNumber, dataset.StudyID, dataset.ReferringPhysicianName = accession_number, "1", ""
    dataset.StudyDate, dataset.StudyTime = "20260102", "030405"
    dataset.StudyDescription = "Synthetic chest phantom"
    dataset.StudyInstanceUID = study_instance_uid or uid.generate_uid(prefix=None)
    dataset.SeriesInstanceUID = uid.generate_uid(prefix=None)
    dataset.SOPInstanceUID = uid.generate_uid(prefix=None)
    dataset.SOPClassUID = _SOP_CLASSES[kind]
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    dataset.Manufacturer, dataset.ManufacturerModelName = "cxr-triage", "Synthetic phantom"
    _describe_acquisition(dataset, kind)
    pixels = draw(seed, opacity=opacity, rows=rows, columns=columns)
    _add_pixels(dataset, pixels, uid.UID(transfer_syntax_uid), bits=8 if kind == "SC" else 12, monochrome1=monochrome1)
    return dataset


def _describe_acquisition(dataset: Dataset, kind: PhantomKind) -> None:
    """Add what the series, equipment and image modules of the SOP class ask for."""
    dataset.PatientOrientation = ["L", "F"]
    if kind == "SC":
        dataset.Modality, dataset.ConversionType = "OT", "SYN"
        dataset.ImageType, dataset.Laterality = ["DERIVED", "SECONDARY"], ""
        return
    dataset.Modality = "CR" if kind == "CR" else "DX"
    dataset.BodyPartExamined, dataset.ViewPosition = "CHEST", "AP"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.AcquisitionDate, dataset.AcquisitionTime = dataset.StudyDate, dataset.StudyTime
    dataset.ImagerPixelSpacing = ["0.35", "0.35"]
    if kind != "CR":
        _describe_digital_x_ray(dataset, for_processing=kind == "DX for processing")


def _describe_digital_x_ray(dataset: Dataset, *, for_processing: bool) -> None:
    """Add the DX series, anatomy, image, detector and positioning modules (PS3.3 C.8.11)."""
    dataset.PresentationIntentType = "FOR PROCESSING" if for_processing else "FOR PRESENTATION"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.ImageLaterality, dataset.BurnedInAnnotation, dataset.LossyImageCompression = "U", "NO", "00"
    dataset.ContentDate, dataset.ContentTime = dataset.StudyDate, dataset.StudyTime
    dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LOG", -1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    dataset.DetectorType, dataset.PositionerType = "DIRECT", ""
    dataset.AcquisitionContextSequence = []
    dataset.AnatomicRegionSequence = [_code("51185008", "SCT", "Chest")]
    dataset.ViewCodeSequence = [_code("399348003", "SCT", "antero-posterior")]
    dataset.ViewCodeSequence[0].ViewModifierCodeSequence = []
    if not for_processing:
        dataset.WindowCenter, dataset.WindowWidth = "2048", "4096"


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _add_pixels(
    dataset: Dataset, pixels: NDArray[np.uint16], transfer_syntax: uid.UID, *, bits: int, monochrome1: bool
) -> None:
    """Store the 12-bit `pixels`, shape (rows, columns), with `bits` bits in the transfer syntax, and describe them."""
    stored: NDArray[Any] = (pixels >> (12 - bits)).astype(np.uint8 if bits <= _BYTE else np.uint16)
    if monochrome1:
        stored = stored.dtype.type((1 << bits) - 1) - stored
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.PhotometricInterpretation = "MONOCHROME1" if monochrome1 else "MONOCHROME2"
    dataset.PresentationLUTShape = "INVERSE" if monochrome1 else "IDENTITY"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = stored.itemsize * 8, bits, bits - 1
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OB" if bits <= _BYTE else "OW"
    _encode(dataset, stored, transfer_syntax)


def _encode(dataset: Dataset, stored: NDArray[Any], transfer_syntax: uid.UID) -> None:
    """Bring the little-endian pixel data of `dataset` into `transfer_syntax`."""
    if transfer_syntax == uid.RLELossless:
        dataset.compress(transfer_syntax, generate_instance_uid=False)
    elif transfer_syntax.is_compressed and not transfer_syntax.is_deflated:
        frame = _ENCODERS[transfer_syntax](importlib.import_module("imagecodecs"), stored, dataset.BitsStored)
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].VR = "OB"
        _confess_loss(dataset, transfer_syntax, ratio=stored.nbytes / len(frame))
    elif not transfer_syntax.is_little_endian:
        dataset.PixelData = stored.astype(stored.dtype.newbyteorder(">")).tobytes()
    dataset.file_meta.TransferSyntaxUID = transfer_syntax


def _confess_loss(dataset: Dataset, transfer_syntax: uid.UID, *, ratio: float) -> None:
    """Say that the pixels went through a lossy compression, where they did (PS3.3 C.7.6.1.1.5)."""
    if transfer_syntax in _LOSSY_METHODS:
        dataset.LossyImageCompression = "01"
        dataset.LossyImageCompressionRatio = f"{ratio:.2f}"
        dataset.LossyImageCompressionMethod = _LOSSY_METHODS[transfer_syntax]
