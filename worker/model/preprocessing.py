"""From a radiograph to what the network sees; the only road, in serving and in training."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
        UnsupportedObjectError: if a frame is one grey level; a blank must not pass for a screened film.
    """
    rows = _cells(radiograph.rows, radiograph.halvings, spec.size)
    columns = _cells(radiograph.columns, radiograph.halvings, spec.size)
    table = radiograph.table.astype(np.float32)
    prepared = np.stack([_resize(frame, table, rows, columns) for frame in radiograph.frames])
    if (prepared.min(axis=(1, 2)) == prepared.max(axis=(1, 2))).any():
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
    table: NDArray[np.float32],
    row_edges: NDArray[np.float64],
    column_edges: NDArray[np.float64],
) -> NDArray[np.uint8]:
    averaged = _average_rows(frame, row_edges, table.take)  # the one look at every pixel
    averaged = _average_rows(np.ascontiguousarray(averaged.T), column_edges, lambda strip: strip).T
    grey: NDArray[np.uint8] = np.floor(averaged + np.float32(0.5)).astype(np.uint8)
    return grey


def _average_rows(
    image: NDArray[Any], edges: NDArray[np.float64], look: Callable[[NDArray[Any]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    # (cells, columns) from (rows, columns), strip by strip: what `look` makes of a strip stays in the cache.
    averaged = np.empty((len(edges) - 1, image.shape[1]), np.float32)
    for cell, (start, stop, shares) in enumerate(_coverage(edges)):
        np.matmul(shares, look(image[start:stop]), out=averaged[cell])
    return averaged


def _coverage(edges: NDArray[np.float64]) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    # Per cell its first sample, the one after its last, and the share of the cell that each of them covers.
    low, high = edges[:-1, np.newaxis], edges[1:, np.newaxis]
    starts, stops = np.floor(edges[:-1]).astype(np.int64), np.ceil(edges[1:]).astype(np.int64)
    samples = starts[:, np.newaxis] + np.arange(np.max(stops - starts))
    covered = np.minimum(samples + 1, high) - np.maximum(samples, low)
    shares = (covered / (high - low)).astype(np.float32)
    for cell, (start, stop) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True)):
        yield start, stop, shares[cell, : stop - start]
