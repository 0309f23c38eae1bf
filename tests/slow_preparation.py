"""The slow, plain preparation: float64 throughout, pydicom's own look-up tables, no table, no reduced resolution."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.pixels import apply_modality_lut, apply_voi_lut, convert_color_space, pixel_array
from pydicom.uid import JPEGExtended12Bit

from dicom_io.part10 import tolerant

Grey = NDArray[np.float64]


def prepare_slowly(path: Path, size: int = 224, percentiles: tuple[float, float] = (0.5, 99.5)) -> Grey:
    """Prepare a DICOM file; grey levels in [0, 255], not rounded, shape (frames, size, size)."""
    with tolerant():
        dataset = pydicom.dcmread(path)
        stored = decode(path, dataset)
        frames = stored if dataset.get("NumberOfFrames", 1) and dataset.get("NumberOfFrames", 1) > 1 else stored[None]
        grey = luminance(frames, dataset) if dataset.SamplesPerPixel == 3 else display(frames, dataset, percentiles)
    return np.stack([area_average(frame, size) for frame in grey])


def decode(path: Path, dataset: pydicom.Dataset) -> NDArray[np.int64]:
    """Stored values by pydicom and its plugins; 12-bit JPEG, which they refuse, by DCMTK."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated and dataset.SamplesPerPixel == 1:
        order = "<" if syntax.is_little_endian else ">"
        words = np.frombuffer(dataset.PixelData, f"{order}u{dataset.BitsAllocated // 8}")
        shape = (dataset.get("NumberOfFrames") or 1, dataset.Rows, dataset.Columns)
        return mask(words[: np.prod(shape)].reshape(shape).squeeze(0).astype(np.int64), dataset)
    if syntax != JPEGExtended12Bit:
        words = pixel_array(dataset, raw=True, decoding_plugin="")
        return mask(np.asarray(words).astype(np.int64), dataset)
    if not shutil.which("dcmdjpeg"):
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        return np.asarray(imagecodecs.jpeg_decode(frame)).astype(np.int64)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.dcm"
        subprocess.run(["dcmdjpeg", path, plain], check=True, capture_output=True)
        return pydicom.dcmread(plain).pixel_array.astype(np.int64)


def mask(words: NDArray[np.int64], dataset: pydicom.Dataset) -> NDArray[np.int64]:
    """Keep Bits Stored below High Bit and their sign; colour as it is."""
    if dataset.SamplesPerPixel == 3:
        return words
    stored = int(dataset.BitsStored)
    values = (words >> (int(dataset.HighBit) + 1 - stored)) % 2**stored
    negative = (values >= 2 ** (stored - 1)) & (dataset.PixelRepresentation == 1)
    return np.where(negative, values - 2**stored, values)


def luminance(samples: NDArray[np.int64], dataset: pydicom.Dataset) -> Grey:
    """BT.601 of red, green and blue."""
    photometric = dataset.PhotometricInterpretation
    colours = samples.astype(np.uint8)
    if photometric.startswith("YBR_FULL"):
        colours = convert_color_space(colours, "YBR_FULL", "RGB")
    return np.asarray(colours.astype(np.float64) @ np.array([0.299, 0.587, 0.114]))


def display(stored: NDArray[np.int64], dataset: pydicom.Dataset, percentiles: tuple[float, float]) -> Grey:
    """Modality LUT, VOI LUT or percentiles, inversion, black padding."""
    values = np.asarray(apply_modality_lut(stored, dataset))
    padding = is_padding(stored, dataset)
    if "VOILUTSequence" in dataset or dataset.get("WindowWidth") not in (None, ""):
        low, high = output_range(dataset)
        shown = (np.asarray(apply_voi_lut(values, dataset, index=0)) - low) / (high - low)
    elif dataset.BitsStored <= 8:
        nominal = np.arange(2**dataset.BitsStored) - 2 ** (dataset.BitsStored - 1) * dataset.PixelRepresentation
        ends = np.asarray(apply_modality_lut(nominal, dataset)).astype(np.float64)
        shown = (values - ends.min()) / (ends.max() - ends.min())
    else:
        low, high = np.percentile(values[~padding].astype(np.float64), percentiles, method="inverted_cdf")
        shown = np.clip((values - low) / (high - low), 0, 1) if high > low else (values > low).astype(np.float64)
    shape = dataset.get("PresentationLUTShape") or ""
    inverted = shape == "INVERSE" if shape else dataset.PhotometricInterpretation == "MONOCHROME1"
    return np.where(padding, 0, 255 * (1 - shown if inverted else shown))


def output_range(dataset: pydicom.Dataset) -> tuple[float, float]:
    """What pydicom's apply_voi_lut calls black and white."""
    if "VOILUTSequence" in dataset:
        return 0.0, 2.0 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
    if "ModalityLUTSequence" in dataset:
        return 0.0, 2.0 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    low = -(2.0 ** (dataset.BitsStored - 1)) if dataset.PixelRepresentation == 1 else 0.0
    slope, intercept = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
    return low * slope + intercept, (low + 2.0**dataset.BitsStored - 1) * slope + intercept


def is_padding(stored: NDArray[np.int64], dataset: pydicom.Dataset) -> NDArray[np.bool_]:
    """Pixel Padding Value to Range Limit."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = dataset.get("PixelPaddingRangeLimit", value)
    return (stored >= min(value, limit)) & (stored <= max(value, limit))


def area_average(image: Grey, size: int) -> Grey:
    """Exact mean over size x size equal cells."""
    return overlaps(image.shape[0], size) @ image @ overlaps(image.shape[1], size).T


def overlaps(length: int, size: int) -> Grey:
    """Share of each cell that each pixel covers, shape (size, length)."""
    cell = np.arange(size)[:, None] * (length / size)
    pixel = np.arange(length)[None, :]
    covered = np.minimum(cell + length / size, pixel + 1) - np.maximum(cell, pixel)
    return np.clip(covered, 0, None) * (size / length)
