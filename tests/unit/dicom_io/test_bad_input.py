"""Each kind of bad file has its named error, within two seconds and a gigabyte."""

import io
import resource
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, uid
from pydicom.encaps import encapsulate

from dicom_io import errors
from dicom_io.identity import file_meta
from dicom_io.reader import read_header, read_radiograph
from tests.films import GREY_8, film, gradient, save

SECONDS = 2.0
BYTES = 1 << 30


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    yield
    assert time.process_time() - started < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < BYTES


def compressed(data: bytes, **attributes: object) -> Dataset:
    """A film of 60 x 80 pixels whose compressed frame is `data`."""
    return film(encapsulate([data]), **({"Rows": 60, "Columns": 80} | attributes))


def jpeg_2000(image: np.ndarray) -> bytes:
    """Encode without loss, as a bare codestream."""
    return bytes(imagecodecs.jpeg2k_encode(image, level=0, reversible=True, codecformat="J2K"))


HEADERS: dict[str, tuple[dict[str, object], type[errors.ImageError]]] = {
    "bits stored above allocated": ({"BitsStored": 17}, errors.UnsupportedObjectError),
    "no bits stored": ({"BitsStored": 0}, errors.UnsupportedObjectError),
    "high bit below bits stored": ({"HighBit": 5}, errors.UnsupportedObjectError),
    "bits allocated unknown": ({"BitsAllocated": 12}, errors.UnsupportedObjectError),
    "declared 60000 x 60000": ({"Rows": 60000, "Columns": 60000}, errors.OversizedImageError),
    "a billion frames": ({"NumberOfFrames": 10**9}, errors.OversizedImageError),
    "more small frames than films fit in memory": ({"NumberOfFrames": 1001}, errors.OversizedImageError),
    "no rows": ({"Rows": 0}, errors.UnsupportedObjectError),
    "no Rows attribute": ({"Rows": None}, errors.MissingAttributeError),
    "no pixel module": ({"Rows": None, "BitsAllocated": None}, errors.NoPixelDataError),
    "no photometric interpretation": ({"PhotometricInterpretation": None}, errors.MissingAttributeError),
    "unknown photometric interpretation": ({"PhotometricInterpretation": "CMYK"}, errors.UnsupportedObjectError),
    "colour of one sample": ({"PhotometricInterpretation": "RGB"}, errors.UnsupportedObjectError),
    "no study": ({"StudyInstanceUID": None}, errors.MissingAttributeError),
    "empty instance": ({"SOPInstanceUID": ""}, errors.MissingAttributeError),
    "zero width": ({"WindowCenter": 10, "WindowWidth": 0}, errors.UnsupportedObjectError),
    "window is no number": ({"WindowCenter": "nan", "WindowWidth": "nan"}, errors.UnsupportedObjectError),
    "window is infinite": ({"WindowCenter": "1", "WindowWidth": "inf"}, errors.UnsupportedObjectError),
    "unknown VOI function": (
        {"WindowCenter": 9, "WindowWidth": 9, "VOILUTFunction": "CUBIC"},
        errors.UnsupportedObjectError,
    ),
    "slope zero": ({"RescaleSlope": 0, "RescaleIntercept": 0}, errors.UnsupportedObjectError),
    "pixels missing": ({"Rows": 61}, errors.TruncatedDataError),
    "everything is padding": ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 4095}, errors.UnsupportedObjectError),
}


@pytest.mark.parametrize(("attributes", "error"), HEADERS.values(), ids=HEADERS.keys())
def test_header_that_contradicts_itself(
    attributes: dict[str, object], error: type[errors.ImageError], tmp_path: Path
) -> None:
    """A pixel description that cannot be true is refused by name."""
    path = save(film(gradient(), **attributes), tmp_path / "f.dcm")
    with pytest.raises(error):
        read_radiograph(path)


@pytest.mark.parametrize(
    ("descriptor", "entries"),
    [([4096, 0, 12], 100), ([100, 0, 12], 4096), ([0, 0, 16], 10), ([16, 0, 40], 16), ([16, 0], 16)],
    ids=["too few entries", "too many entries", "declares 65536", "40 bits", "two numbers"],
)
@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
def test_look_up_table_that_lies(descriptor: list[int], entries: int, keyword: str, tmp_path: Path) -> None:
    """A LUT whose data are not what its descriptor says is refused, not read past its end."""
    item = Dataset()
    item.LUTDescriptor, item.LUTData = descriptor, list(range(entries))
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    path = save(film(gradient(), **{keyword: [item]}), tmp_path / "f.dcm")
    with pytest.raises(errors.UnsupportedObjectError):
        read_radiograph(path)


def test_no_pixel_data(tmp_path: Path) -> None:
    """An image description without pixels is refused as such."""
    dataset = film(gradient())
    path = save(dataset, tmp_path / "f.dcm")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\xe0\x7f\x10\x00")])
    with pytest.raises(errors.NoPixelDataError):
        read_radiograph(path)


STREAMS: dict[str, tuple[str, Callable[[], bytes], dict[str, object], type[errors.ImageError]]] = {
    "JPEG that is cut": (
        uid.JPEGBaseline8Bit,
        lambda: bytes(imagecodecs.jpeg_encode(gradient(top=255).astype(np.uint8)))[:-200],
        GREY_8,
        errors.TruncatedDataError,
    ),
    "JPEG lossless that is cut": (
        uid.JPEGLosslessSV1,
        lambda: bytes(imagecodecs.ljpeg_encode(gradient(), bitspersample=12))[:-200],
        {},
        errors.TruncatedDataError,
    ),
    "JPEG-LS that is cut": (
        uid.JPEGLSLossless,
        lambda: bytes(imagecodecs.jpegls_encode(gradient()))[:-200],
        {},
        errors.TruncatedDataError,
    ),
    "JPEG 2000 that is cut": (uid.JPEG2000, lambda: jpeg_2000(gradient())[:-200], {}, errors.TruncatedDataError),
    "HTJ2K that is cut": (
        uid.HTJ2K,
        lambda: bytes(imagecodecs.htj2k_encode(gradient()))[:-200],
        {},
        errors.TruncatedDataError,
    ),
    "RLE that is cut": (
        uid.RLELossless,
        lambda: struct.pack("<16I", 2, 64, 70, *[0] * 13) + b"\x00\x01",
        {},
        errors.PixelDecodeError,
    ),
    "nothing": (uid.JPEG2000, lambda: b"\0\0", {}, errors.TruncatedDataError),
    "noise": (uid.JPEGBaseline8Bit, lambda: np.random.default_rng(0).bytes(999), GREY_8, errors.ImageError),
    "a stream of another size": (uid.JPEG2000, lambda: jpeg_2000(gradient(61, 80)), {}, errors.PixelDecodeError),
    "a stream of another depth": (
        uid.JPEGLSLossless,
        lambda: bytes(imagecodecs.jpegls_encode(gradient())),
        GREY_8,
        errors.PixelDecodeError,
    ),
    "a stream of 60000 x 60000": (
        uid.JPEGBaseline8Bit,
        lambda: bytes(imagecodecs.jpeg_encode(gradient(top=255).astype(np.uint8))).replace(
            struct.pack(">HH", 60, 80), struct.pack(">HH", 60000, 60000)
        ),
        GREY_8,
        errors.PixelDecodeError,
    ),
    "a syntax nobody decodes": (uid.MPEG2MPML, lambda: b"\0" * 64, GREY_8, errors.UnsupportedTransferSyntaxError),
}


@pytest.mark.parametrize(("syntax", "stream", "attributes", "error"), STREAMS.values(), ids=STREAMS.keys())
def test_compressed_frame_that_is_damaged(
    syntax: str,
    stream: Callable[[], bytes],
    attributes: dict[str, object],
    error: type[errors.ImageError],
    tmp_path: Path,
) -> None:
    """A compressed frame that is cut, foreign or of another size is refused; decoders would fill it up with grey."""
    path = save(compressed(stream(), **attributes), tmp_path / "f.dcm", syntax)
    with pytest.raises(error):
        read_radiograph(path)


def test_file_that_ends_early(tmp_path: Path) -> None:
    """A file cut anywhere after its file meta information is named truncated, unparsable or without pixels."""
    data = save(film(gradient()), tmp_path / "f.dcm").read_bytes()
    for length in range(360, len(data), 97):
        (tmp_path / "cut.dcm").write_bytes(data[:length])
        with pytest.raises(errors.ImageError):
            read_radiograph(tmp_path / "cut.dcm")


def test_fragments_without_end(tmp_path: Path) -> None:
    """Encapsulated pixels whose last fragment is cut off are truncated."""
    path = save(compressed(jpeg_2000(gradient())), tmp_path / "f.dcm", uid.JPEG2000)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(errors.TruncatedDataError):
        read_radiograph(path)


@pytest.mark.parametrize("defined", [True, False], ids=["defined lengths", "undefined lengths"])
@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian])
def test_ten_thousand_nested_sequences(defined: bool, syntax: uid.UID, tmp_path: Path) -> None:
    """Sequences nested 10,000 deep are refused by name, and neither recursion nor memory runs out."""
    data = save(film(gradient()), tmp_path / "f.dcm", syntax).read_bytes()
    at = data.index(b"\x28\x00\x02\x00")
    (tmp_path / "nested.dcm").write_bytes(data[:at] + nested(10_000, defined, syntax.is_implicit_VR) + data[at:])
    with pytest.raises(errors.UnsupportedObjectError, match="nested"):
        read_header(tmp_path / "nested.dcm")


def nested(depth: int, defined: bool, implicit: bool) -> bytes:
    """Referenced Series Sequences inside each other, from the inside out."""
    tag = struct.pack("<HH", 0x0008, 0x1115) + (b"" if implicit else b"SQ\0\0")
    if not defined:
        start = tag + b"\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
        return start * depth + b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0" * depth
    heads, length = [], 0
    for _ in range(depth):
        heads.append(tag + struct.pack("<I", length + 8) + b"\xfe\xff\x00\xe0" + struct.pack("<I", length))
        length += len(heads[-1])
    return b"".join(reversed(heads))


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """300 MB of zeros, deflated; made outside the measured time."""
    squeeze = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    return b"".join(squeeze.compress(b"\0" * (1 << 20)) for _ in range(300)) + squeeze.flush()


def test_deflated_bomb(bomb: bytes, tmp_path: Path) -> None:
    """A deflated data set that grows past the limit is stopped there."""
    path = save(film(gradient()), tmp_path / "f.dcm", uid.DeflatedExplicitVRLittleEndian)
    raw = path.read_bytes()
    path.write_bytes(raw[: file_meta(raw).length] + bomb)
    with pytest.raises(errors.OversizedImageError):
        read_radiograph(path)


def test_element_longer_than_the_file(tmp_path: Path) -> None:
    """An element that declares four gigabytes costs no memory."""
    path = save(film(gradient()), tmp_path / "f.dcm")
    data = path.read_bytes()
    at = data.index(b"\x28\x00\x02\x00")
    path.write_bytes(data[:at] + b"\x21\x00\x10\x10OB\0\0\xfe\xff\xff\xff" + data[at:])
    with pytest.raises(errors.ImageError):
        read_radiograph(path)


def png_header(rows: int, columns: int) -> bytes:
    """A PNG that says it is huge, and stops after saying so."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + b"\0\0\0\x09IDAT"
        + b"\0" * 13
    )


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", errors.NotAnImageError),
        (b"hello, this is no image", errors.NotAnImageError),
        (b"\0" * 200, errors.NotAnImageError),
        (b"\0" * 128 + b"DICM", errors.ImageError),
        (b"\x89PNG\r\n\x1a\n", errors.PixelDecodeError),
        (b"\xff\xd8\xff\xe0", errors.PixelDecodeError),
        (png_header(60_000, 60_000), errors.OversizedImageError),
        (png_header(9_000, 9_000), errors.OversizedImageError),
        (png_header(2_000_000_000, 1), errors.OversizedImageError),
    ],
)
def test_file_that_is_no_image(content: bytes, error: type[errors.ImageError], tmp_path: Path) -> None:
    """What is neither DICOM nor PNG nor JPEG, or only begins like one, is refused by name."""
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(error):
        read_radiograph(tmp_path / "f")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_picture_that_is_cut(kind: str, tmp_path: Path) -> None:
    """A PNG or JPEG that ends early is refused, not filled up."""
    stream = io.BytesIO()
    Image.fromarray(gradient(300, 300, 255).astype(np.uint8)).save(stream, kind)
    (tmp_path / "f").write_bytes(stream.getvalue()[: stream.tell() * 2 // 3])
    with pytest.raises(errors.PixelDecodeError):
        read_radiograph(tmp_path / "f")


def test_file_above_the_limit(tmp_path: Path) -> None:
    """A file of two gigabytes is refused before it is read."""
    with (tmp_path / "f").open("wb") as file:
        file.write(png_header(100, 100))
        file.truncate(2 << 30)
    for read in (read_header, read_radiograph):
        with pytest.raises(errors.OversizedImageError):
            read(tmp_path / "f")
