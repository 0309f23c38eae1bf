"""From a radiograph to what the network sees; the only road, in serving and in training."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicom_io.reader import read_radiograph
from dicom_io.types import Radiograph
from worker.model.input_spec import InputSpec


def prepare(path: Path, spec: InputSpec = InputSpec()) -> NDArray[np.uint8]:  # noqa: B008 - frozen
    """Read and preprocess one file.

    Args:
        path: a DICOM, PNG or JPEG file.
        spec: what the network expects.

    Returns:
        grey levels, shape (frames, size, size), 0 is black.

    Raises:
        ImageError: a subclass that names what is wrong with the file.
    """
    return preprocess(read_radiograph(path, covering=spec.size, percentiles=spec.percentiles), spec)


def preprocess(radiograph: Radiograph, spec: InputSpec) -> NDArray[np.uint8]:
    """Look the grey levels up and average them over equal areas.

    The film is stretched to a square, as the training images were, so Pixel Aspect Ratio has no effect. A frame that has
    the size already keeps its grey levels.

    Args:
        radiograph: stored frames and their table.
        spec: what the network expects.

    Returns:
        grey levels, shape (frames, size, size), 0 is black.
    """
    return np.stack([_resize(frame, radiograph.table, spec.size) for frame in radiograph.frames])


def _resize(frame: NDArray[np.uint8] | NDArray[np.uint16], table: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    rows, columns = frame.shape
    averaged = np.empty((size, columns), np.float32)
    for row, (start, weights) in enumerate(_area_weights(rows, size)):
        strip = table.take(frame[start : start + len(weights)])  # (k, columns)
        averaged[row] = weights @ strip.astype(np.float32)
    return np.floor(_average_columns(averaged, size) + 0.5).astype(np.uint8)


def _area_weights(length: int, size: int) -> list[tuple[int, NDArray[np.float32]]]:
    # For each of `size` equal cells: its first pixel, and the share of the cell that each of its pixels covers.
    edges = np.arange(size + 1) * (length / size)
    cells = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        start, stop = int(low), min(int(np.ceil(high)), length)
        pixels = np.arange(start, stop)
        covered = np.minimum(pixels + 1, high) - np.maximum(pixels, low)
        cells.append((start, (covered / covered.sum()).astype(np.float32)))
    return cells


def _average_columns(image: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    # The integral up to each cell's edge, linear inside a pixel; differences of it are exact area sums.
    rows, columns = image.shape
    integral = np.zeros((rows, columns + 1))
    np.cumsum(image, axis=1, out=integral[:, 1:], dtype=np.float64)
    edges = np.arange(size + 1) * (columns / size)
    whole = np.minimum(edges.astype(np.int64), columns - 1)
    at_edges = integral[:, whole] + (edges - whole) * image[:, whole]
    return np.diff(at_edges, axis=1) * (size / columns)
