"""Photographs of films: colour in every form of DICOM, and PNG and JPEG files."""

import io
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels import convert_color_space

from dicom_io.errors import UnsupportedObjectError
from dicom_io.reader import read_header, read_radiograph
from tests.films import GREY_8, film, gradient, save
from worker.model.input_spec import InputSpec
from worker.model.preprocessing import prepare

RGB = GREY_8 | {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": "RGB"}
SPEC = InputSpec(size=60)


@pytest.fixture
def colours() -> NDArray[np.uint8]:
    """A picture whose three colours differ, shape (60, 80, 3)."""
    grey = gradient(top=255).astype(np.uint8)
    return np.stack([grey, grey[::-1], np.full_like(grey, 90)], axis=-1)


def grey(path: Path) -> NDArray[np.int64]:
    """What the table makes of the first frame."""
    radiograph = read_radiograph(path)
    return radiograph.table[radiograph.frames[0]].astype(np.int64)


def expected(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Luminance after ITU-R BT.601."""
    return np.asarray(colours @ np.array([0.299, 0.587, 0.114]))


def test_rgb_becomes_luminance(colours: NDArray[np.uint8], tmp_path: Path) -> None:
    """Colours are weighed alike, by pixel and by plane."""
    by_pixel = save(film(colours, **RGB), tmp_path / "f.dcm")
    planes = np.ascontiguousarray(np.moveaxis(colours, -1, 0))
    size = {"Rows": 60, "Columns": 80}
    by_plane = save(film(planes.tobytes(), **(RGB | size | {"PlanarConfiguration": 1})), tmp_path / "g.dcm")
    for path in (by_pixel, by_plane):
        assert np.abs(grey(path) - expected(colours)).max() <= 1


def test_ybr_is_its_first_component(colours: NDArray[np.uint8], tmp_path: Path) -> None:
    """YBR_FULL carries the luminance itself, also where two columns share their colour."""
    ybr = convert_color_space(colours, "RGB", "YBR_FULL")
    full = save(film(ybr, **(RGB | {"PhotometricInterpretation": "YBR_FULL"})), tmp_path / "f.dcm")
    pairs = np.concatenate([ybr[:, 0::2, :1], ybr[:, 1::2, :1], ybr[:, 0::2, 1:]], axis=-1)
    header = RGB | {"PhotometricInterpretation": "YBR_FULL_422", "Rows": 60, "Columns": 80}
    shared = save(film(np.ascontiguousarray(pairs).tobytes(), **header), tmp_path / "g.dcm")
    for path in (full, shared):
        assert np.abs(grey(path) - expected(colours)).max() <= 1


@pytest.mark.parametrize(
    ("syntax", "photometric", "encode"),
    [
        (uid.JPEGBaseline8Bit, "YBR_FULL_422", lambda image: imagecodecs.jpeg_encode(image, level=100)),
        (uid.JPEG2000Lossless, "YBR_RCT", lambda image: imagecodecs.jpeg2k_encode(image, level=0, codecformat="J2K")),
        (uid.JPEGLSLossless, "RGB", imagecodecs.jpegls_encode),
    ],
)
def test_compressed_colour(
    syntax: uid.UID,
    photometric: str,
    encode: Callable[[NDArray[np.uint8]], bytes],
    colours: NDArray[np.uint8],
    tmp_path: Path,
) -> None:
    """Colour that a coding transforms comes back as the luminance of the original."""
    header = RGB | {"PhotometricInterpretation": photometric, "Rows": 60, "Columns": 80}
    path = save(film(encapsulate([bytes(encode(colours))]), **header), tmp_path / "f.dcm", syntax)
    assert np.abs(grey(path) - expected(colours)).mean() <= 1.5


def test_palette_becomes_luminance(tmp_path: Path) -> None:
    """Palette colours are looked up and weighed; a missing palette is refused."""
    words = gradient(top=255).astype(np.uint8)
    tables = np.random.default_rng(3).integers(0, 65536, (3, 256))
    header = GREY_8 | {"PhotometricInterpretation": "PALETTE COLOR"}
    dataset = film(words, **header)
    for colour, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(dataset, f"{colour}PaletteColorLookupTableData", table.astype("<u2").tobytes())
    path = save(dataset, tmp_path / "f.dcm")
    assert np.abs(grey(path) - expected(np.moveaxis(tables[:, words], 0, -1) / 257)).max() <= 0.51
    with pytest.raises(UnsupportedObjectError):
        read_radiograph(save(film(words, **header), tmp_path / "g.dcm"))


def picture(image: Image.Image, path: Path, kind: str, **options: object) -> Path:
    """Save under a name that says nothing."""
    image.save(path, kind, **options)
    return path


def test_pictures_are_recognised_by_their_content(tmp_path: Path) -> None:
    """A PNG called .dcm is a PNG: no header, no UIDs."""
    path = picture(Image.fromarray(gradient(top=255).astype(np.uint8)), tmp_path / "film.dcm", "PNG")
    assert read_header(path) is None
    assert read_radiograph(path).reference is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_grey_picture_of_the_size_is_left_alone(kind: str, tmp_path: Path) -> None:
    """An 8-bit grey picture that has the size of the input keeps every grey level."""
    levels = gradient(60, 60, 255).astype(np.uint8)
    path = picture(Image.fromarray(levels), tmp_path / "f", kind)
    np.testing.assert_array_equal(prepare(path, SPEC)[0], np.asarray(Image.open(path)))


def test_deep_png_is_windowed_by_its_percentiles(tmp_path: Path) -> None:
    """12 bits stored in a 16-bit PNG are no black picture."""
    path = picture(Image.fromarray(gradient()), tmp_path / "f", "PNG")
    levels = grey(path)
    assert (levels.min(), levels.max()) == (0, 255)
    assert np.percentile(levels, 50) > 90


def test_alpha_is_ignored(colours: NDArray[np.uint8], tmp_path: Path) -> None:
    """A picture with an empty alpha channel still shows the film."""
    alpha = np.zeros((60, 80, 1), np.uint8)
    path = picture(Image.fromarray(np.concatenate([colours, alpha], axis=-1)), tmp_path / "f", "PNG")
    assert np.abs(grey(path) - expected(colours)).max() <= 1


def test_a_palette_png_and_a_bilevel_one_are_read(tmp_path: Path) -> None:
    """Palettes are looked up, and one bit becomes black and white."""
    image = Image.fromarray(gradient(top=255).astype(np.uint8))
    assert grey(picture(image.convert("P"), tmp_path / "p", "PNG")).std() > 20
    assert set(np.unique(grey(picture(image.convert("1"), tmp_path / "b", "PNG")))) == {0, 255}


def test_orientation_is_obeyed(tmp_path: Path) -> None:
    """A photograph taken with the camera turned comes out upright."""
    levels = gradient(top=255).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees, clockwise
    path = picture(Image.fromarray(levels), tmp_path / "f", "PNG", exif=exif)
    np.testing.assert_array_equal(grey(path), np.rot90(levels, -1))


def test_a_jpeg_is_read_as_its_luminance(colours: NDArray[np.uint8], tmp_path: Path) -> None:
    """A colour JPEG becomes the luminance that it stores."""
    stream = io.BytesIO()
    Image.fromarray(colours).save(stream, "JPEG", quality=100, subsampling=0)
    (tmp_path / "f").write_bytes(stream.getvalue())
    assert np.abs(grey(tmp_path / "f") - expected(colours)).max() <= 3
