"""From stored words to the array that the network sees."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dicom_io.errors import UnsupportedObjectError
from dicom_io.reader import read_radiograph
from dicom_io.types import Radiograph
from tests.films import GREY_8, film, gradient, save
from tests.slow_preparation import area_average
from worker.model.input_spec import InputSpec
from worker.model.preprocessing import prepare, preprocess

SPEC = InputSpec(size=32)
IDENTITY = np.resize(np.arange(256, dtype=np.uint8), 65_536)


def radiograph(*frames: NDArray[np.uint8]) -> Radiograph:
    """Frames that are grey levels already."""
    return Radiograph(None, *frames[0].shape, 0, frames, IDENTITY, memoryview(b""))


@given(st.integers(1, 200), st.integers(1, 200), st.integers(32, 128), st.integers(0, 2**32 - 1))
def test_any_size_is_averaged_exactly(rows: int, columns: int, size: int, seed: int) -> None:
    """Every cell is the mean of what it covers, in pictures larger and smaller than the input, of any shape."""
    levels = np.random.default_rng(seed).integers(0, 256, (rows, columns)).astype(np.uint8)
    levels[0, 0], levels[-1, -1] = 0, 255 if levels.size > 1 else 1
    expected = area_average(levels.astype(np.float64), size)
    if np.ptp(np.round(expected)) < 2:
        return
    difference = preprocess(radiograph(levels), InputSpec(size=size))[0] - expected
    assert np.abs(difference).max() <= 0.51


def test_a_picture_of_the_size_is_left_alone(tmp_path: Path) -> None:
    """An 8-bit film without a window that has the size of the input keeps every grey level."""
    levels = gradient(32, 32, 255).astype(np.uint8)
    path = save(film(levels, **GREY_8), tmp_path / "f.dcm")
    np.testing.assert_array_equal(prepare(path, SPEC)[0], levels)


def test_the_film_is_stretched_to_a_square(tmp_path: Path) -> None:
    """The aspect ratio is not kept, of the picture or of its pixels, as in the training images."""
    plain = save(film(gradient()), tmp_path / "f.dcm")
    oblong = save(film(gradient(), PixelAspectRatio=[2, 1]), tmp_path / "g.dcm")
    assert prepare(plain, SPEC).shape == (1, 32, 32)
    np.testing.assert_array_equal(prepare(plain, SPEC), prepare(oblong, SPEC))


@pytest.mark.parametrize("attributes", [{}, {"WindowCenter": 2000, "WindowWidth": 3000}])
def test_inversion_is_the_negative_and_twice_is_identity(attributes: dict[str, object], tmp_path: Path) -> None:
    """MONOCHROME1, and INVERSE, show the negative; an INVERSE MONOCHROME1 is inverted once, not twice."""
    headers: dict[str, dict[str, object]] = {
        "positive": {},
        "monochrome1": {"PhotometricInterpretation": "MONOCHROME1"},
        "both": {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
        "contradiction": {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "IDENTITY"},
    }
    shown = {
        name: prepare(save(film(gradient(), **header, **attributes), tmp_path / name), SPEC).astype(int)
        for name, header in headers.items()
    }
    assert np.abs(shown["positive"] + shown["monochrome1"] - 255).max() <= 1
    np.testing.assert_array_equal(shown["both"], shown["monochrome1"])
    np.testing.assert_array_equal(shown["contradiction"], shown["positive"])


def test_overlay_bits_are_ignored(tmp_path: Path) -> None:
    """Bits above High Bit, where old machines kept overlays, do not show."""
    words = gradient()
    overlaid = words | (np.random.default_rng(2).integers(0, 2, words.shape, dtype=np.uint16) << 13)
    plain, dirty = save(film(words), tmp_path / "f.dcm"), save(film(overlaid), tmp_path / "g.dcm")
    np.testing.assert_array_equal(prepare(plain, SPEC), prepare(dirty, SPEC))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_count(photometric: str, tmp_path: Path) -> None:
    """Padding is black in either polarity, and the percentiles are those of the film without it."""
    words = np.full((64, 64), 4095, np.uint16)
    words[:, :32] = gradient(64, 32, 1000)
    path = save(film(words, PixelPaddingValue=4095, PhotometricInterpretation=photometric), tmp_path / "f.dcm")
    shown = prepare(path, SPEC)[0]
    assert shown[:, 16:].max() == 0
    assert np.ptp(shown[:, :16]) > 200


def test_the_first_of_several_windows_counts(tmp_path: Path) -> None:
    """Further windows are alternatives for a reader to choose."""
    one = save(film(gradient(), WindowCenter=1000, WindowWidth=500), tmp_path / "f.dcm")
    many = save(film(gradient(), WindowCenter=[1000, 3000], WindowWidth=[500, 50]), tmp_path / "g.dcm")
    np.testing.assert_array_equal(prepare(one, SPEC), prepare(many, SPEC))


def test_a_deep_film_without_a_window_is_stretched(tmp_path: Path) -> None:
    """More than 8 bits without a window are windowed by the percentiles that the input specification names."""
    path = save(film(gradient(top=300) + 100, BitsStored=16, HighBit=15), tmp_path / "f.dcm")
    narrow = prepare(path, SPEC.model_copy(update={"percentiles": (30.0, 70.0)}))
    assert np.ptp(prepare(path, SPEC)) > 200
    assert np.mean((narrow == 0) | (narrow == 255)) > np.mean((prepare(path, SPEC) % 255) == 0)


def test_every_frame_is_an_image(tmp_path: Path) -> None:
    """A multi-frame object gives one picture per frame, in order."""
    words = np.stack([gradient(), gradient()[::-1]])
    data = film(words.tobytes(), Rows=60, Columns=80, NumberOfFrames=2, WindowCenter=2048, WindowWidth=4096)
    shown = prepare(save(data, tmp_path / "f.dcm"), SPEC)
    alone = prepare(save(film(gradient(), WindowCenter=2048, WindowWidth=4096), tmp_path / "g.dcm"), SPEC)
    assert shown.shape == (2, 32, 32)
    np.testing.assert_array_equal(shown[:1], alone)
    assert np.abs(shown[1].astype(int) - shown[0][::-1]).max() <= 1


def test_bytes_in_big_endian_words(tmp_path: Path) -> None:
    """8-bit samples that a big-endian file keeps in 16-bit words come out in their order."""
    levels = gradient(top=255).astype(np.uint8)
    dataset = film(levels.reshape(-1, 2)[:, ::-1].tobytes(), **GREY_8, Rows=60, Columns=80)
    path = save(dataset, tmp_path / "f.dcm", "1.2.840.10008.1.2.2")
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"\x7f\xe0\x00\x10OB", b"\x7f\xe0\x00\x10OW"))
    np.testing.assert_array_equal(read_radiograph(path).frames[0], levels)


def test_a_blank_is_no_film() -> None:
    """A picture of one grey level is refused, so that it cannot pass for a screened film."""
    with pytest.raises(UnsupportedObjectError):
        preprocess(radiograph(np.full((50, 50), 7, np.uint8)), SPEC)
