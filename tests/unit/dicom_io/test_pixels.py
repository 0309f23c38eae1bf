"""Windows and look-up tables, value by value as the standard writes them."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, uid

from dicom_io.errors import UnsupportedObjectError
from dicom_io.pixels import percentile_bounds, window
from dicom_io.reader import read_radiograph
from tests.films import film, gradient, save


@pytest.mark.parametrize(
    ("center", "width", "values", "shown"),
    [
        (2048, 4096, [0, 2047.5, 4095], [0, 0.5, 1]),  # the two examples of PS3.3 C.11.2.1.2.1
        (2048, 1, [2047, 2047.5, 2048], [0, 0, 1]),
        (0, 100, [-50, 0, 49], [0, 50 / 99, 1]),
        (10, 3, [8, 9, 10, 11], [0, 0.25, 0.75, 1]),
    ],
)
def test_linear(center: float, width: float, values: list[float], shown: list[float]) -> None:
    """LINEAR reaches black at c - 0.5 - (w-1)/2 and white at c - 0.5 + (w-1)/2."""
    np.testing.assert_allclose(window(np.array(values, float), center, width), shown, atol=1e-12)


def test_linear_exact() -> None:
    """LINEAR_EXACT reaches black at c - w/2 and white at c + w/2."""
    values = np.array([-51.0, -50, 0, 25, 50, 51])
    np.testing.assert_allclose(window(values, 0, 100, "LINEAR_EXACT"), [0, 0, 0.5, 0.75, 1, 1])


def test_sigmoid() -> None:
    """SIGMOID is one half at the centre and 1 / (1 + e^-2) half a width above."""
    np.testing.assert_allclose(window(np.array([7.0, 12]), 7, 10, "SIGMOID"), [0.5, 1 / (1 + np.exp(-2))])


@pytest.mark.parametrize(
    ("center", "width", "function"),
    [(0, 0.5, "LINEAR"), (0, 0, "LINEAR_EXACT"), (0, -1, "SIGMOID"), (float("nan"), 9, "LINEAR"), (0, 9, "GAMMA")],
)
def test_window_that_is_none(center: float, width: float, function: str) -> None:
    """A window that is too narrow, no number or of an unknown function is refused."""
    with pytest.raises(UnsupportedObjectError):
        window(np.zeros(3), center, width, function)


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
@pytest.mark.parametrize("bits", [8, 12])
def test_look_up_table_as_bytes(bits: int, syntax: uid.UID, tmp_path: Path) -> None:
    """LUT Data may be words in the byte order of the file, and entries of 8 bits may lie two in a word."""
    words = np.linspace(0, 2**bits - 1, 4096).astype("<u2" if bits > 8 else np.uint8)
    stored = np.frombuffer(words.tobytes(), "<u2").astype("<u2" if syntax.is_little_endian else ">u2")
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [4096, 0, bits], stored.tobytes()
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "OW"
    path = save(film(gradient(), VOILUTSequence=[item]), tmp_path / "f.dcm", syntax)
    expected = np.floor(words.astype(float) / (2**bits - 1) * 255 + 0.5)
    np.testing.assert_array_equal(read_radiograph(path).table[:4096], expected)


def test_percentiles_of_a_histogram_are_those_of_the_pixels() -> None:
    """The bounds are the values at or below which that part of the pixels lies."""
    pixels = np.random.default_rng(5).integers(0, 400, 10_001)
    values, counts = np.arange(400.0)[::-1], np.bincount(pixels, minlength=400)[::-1]
    expected = np.percentile(pixels, (0.5, 99.5), method="inverted_cdf")
    assert percentile_bounds(values, counts, (0.5, 99.5)) == tuple(expected)
