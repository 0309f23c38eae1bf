"""From a radiograph to what the network sees; the only road, in serving and in training."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicom_io.errors import UnsupportedObjectError
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

    The film is stretched to a square, as the training images were, so Pixel Aspect Ratio has no effect. A frame that
    has the size already keeps its grey levels.

    Args:
        radiograph: stored frames and their table.
        spec: what the network expects.

    Returns:
        grey levels, shape (frames, size, size), 0 is black.

    Raises:
        UnsupportedObjectError: if every pixel has the same grey level; a blank must not pass for a screened film.
    """
    rows = _cells(radiograph.rows, radiograph.halvings, spec.size)
    columns = _cells(radiograph.columns, radiograph.halvings, spec.size)
    prepared = np.stack([_resize(frame, radiograph.table, rows, columns) for frame in radiograph.frames])
    if prepared.min() == prepared.max():
        raise UnsupportedObjectError("The picture is one grey level: it is empty, or its window misses its values.")
    return prepared


def _cells(length: int, halvings: int, size: int) -> NDArray[np.float64]:
    # Edges of `size` equal cells in samples of a frame that was halved; sample i covers [i, i + 1].
    edges: NDArray[np.float64] = np.minimum(np.arange(size + 1) * (length / size), length)
    if halvings == 0:
        return edges
    # A low-pass sample is centred on the first of the pixels it stands for, not on their middle.
    samples = -(-length >> halvings)
    shifted: NDArray[np.float64] = np.clip((edges - 0.5) / (1 << halvings) + 0.5, 0, samples)
    return shifted


def _resize(
    frame: NDArray[np.uint8] | NDArray[np.uint16],
    table: NDArray[np.uint8],
    row_edges: NDArray[np.float64],
    column_edges: NDArray[np.float64],
) -> NDArray[np.uint8]:
    averaged = np.empty((len(row_edges) - 1, frame.shape[1]), np.float32)
    for row, (low, high) in enumerate(pairwise(row_edges)):
        start, weights = _coverage(low, high)
        strip = table.take(frame[start : start + len(weights)])  # (k, columns): the one look at these pixels
        averaged[row] = weights @ strip.astype(np.float32)
    return np.floor(_average_columns(averaged, column_edges) + 0.5).astype(np.uint8)


def _coverage(low: float, high: float) -> tuple[int, NDArray[np.float32]]:
    # The first sample of a cell, and the share of the cell that each of its samples covers.
    start, stop = int(low), int(np.ceil(high))
    samples = np.arange(start, stop)
    covered = np.minimum(samples + 1, high) - np.maximum(samples, low)
    return start, (covered / (high - low)).astype(np.float32)


def _average_columns(image: NDArray[np.float32], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    # The integral up to each cell's edge, linear inside a sample; its differences are exact area sums.
    rows, columns = image.shape
    integral = np.zeros((rows, columns + 1))
    np.cumsum(image, axis=1, out=integral[:, 1:], dtype=np.float64)
    whole = np.minimum(edges.astype(np.int64), columns - 1)
    at_edges = integral[:, whole] + (edges - whole) * image[:, whole]
    averages: NDArray[np.float64] = np.diff(at_edges, axis=1) / np.diff(edges)
    return averages
