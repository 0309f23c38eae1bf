"""Every coding gives back the film that was put in, whole or at the resolution asked for."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate

from dicom_io import codecs
from dicom_io.codestream import inspect
from dicom_io.reader import read_radiograph
from dicom_io.transfer_syntaxes import COMPRESSED
from tests.films import encoded_films, film, gradient, save
from worker.model.input_spec import InputSpec
from worker.model.preprocessing import preprocess

# Mean difference that a lossy coding may cause; the grain of the film is 82.
LOSSY = {uid.JPEGBaseline8Bit: 2, uid.JPEGExtended12Bit: 20, uid.JPEGLSNearLossless: 2, uid.JPEG2000: 90}


def test_the_listener_takes_what_can_be_decoded() -> None:
    """The transfer syntaxes offered to senders are those of the table of decoders."""
    assert set(codecs.DECODERS) == set(COMPRESSED)


@pytest.mark.parametrize("syntax", COMPRESSED, ids=lambda syntax: syntax.name)
def test_film_comes_back(syntax: uid.UID, tmp_path: Path) -> None:
    """A film decodes to the words that were encoded, or close to them where the coding is lossy."""
    words = gradient().astype(np.int64)
    path = save(encoded_films(gradient())[syntax], tmp_path / "f.dcm", syntax)
    decoded = read_radiograph(path).frames[0].astype(np.int64)
    expected = words >> 4 if syntax == uid.JPEGBaseline8Bit else words
    assert np.abs(decoded - expected).mean() <= LOSSY.get(syntax, 0)


@pytest.mark.parametrize(
    ("syntax", "decoder"), [(syntax, decoder) for syntax, row in codecs.DECODERS.items() for decoder in row[1:]]
)
def test_the_next_decoder_agrees(
    syntax: uid.UID, decoder: codecs.Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder that stands in for the first gives the same film."""
    path = save(encoded_films(gradient())[syntax], tmp_path / "f.dcm", syntax)
    expected = read_radiograph(path).frames[0].astype(int)
    monkeypatch.setitem(codecs.DECODERS, syntax, (decoder,))  # type: ignore[misc]
    assert np.abs(read_radiograph(path).frames[0].astype(int) - expected).max() <= (syntax in LOSSY)


def test_a_decoder_that_refuses_is_followed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first decoder refuses, the second reads."""

    def refuse(*_: object) -> np.ndarray:
        raise RuntimeError("no")

    path = save(encoded_films(gradient())[uid.JPEGLosslessSV1], tmp_path / "f.dcm", uid.JPEGLosslessSV1)
    row = codecs.DECODERS[uid.JPEGLosslessSV1]
    monkeypatch.setitem(codecs.DECODERS, uid.JPEGLosslessSV1, (refuse, *row[1:]))  # type: ignore[misc]
    np.testing.assert_array_equal(read_radiograph(path).frames[0], gradient())


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("size", [(1955, 1841), (1601, 1403), (1024, 1023)])
def test_reduced_resolution_is_centred(size: tuple[int, int], signed: bool, tmp_path: Path) -> None:
    """A film decoded at a fraction of its resolution is prepared like the whole one, whatever the size leaves over."""
    words = gradient(*size)
    data = words.astype(np.int16) - 2000 if signed else words
    stream = bytes(imagecodecs.jpeg2k_encode(data, level=0, reversible=True, codecformat="J2K"))
    header = {"Rows": size[0], "Columns": size[1], "PixelRepresentation": int(signed), "BitsStored": 16, "HighBit": 15}
    window = {"WindowCenter": 48 if signed else 2048, "WindowWidth": 4096}
    path = save(film(encapsulate([stream]), **header, **window), tmp_path / "f.dcm", uid.JPEG2000Lossless)
    reduced, whole = read_radiograph(path, covering=224), read_radiograph(path)
    assert reduced.halvings > 0 == whole.halvings
    assert min(reduced.frames[0].shape) >= 2 * 224
    difference = preprocess(reduced, InputSpec()).astype(int) - preprocess(whole, InputSpec())
    assert np.abs(difference).mean() < 0.5
    assert abs(difference.mean()) < 0.1  # a film shifted by half a sample would be brighter or darker throughout


def test_small_pictures_are_never_reduced(tmp_path: Path) -> None:
    """A picture that half the resolution would not cover with a margin is decoded whole."""
    words = gradient(600, 600)
    stream = bytes(imagecodecs.jpeg2k_encode(words, level=0, reversible=True, codecformat="J2K"))
    path = save(film(encapsulate([stream]), Rows=600, Columns=600), tmp_path / "f.dcm", uid.JPEG2000Lossless)
    assert read_radiograph(path, covering=151).halvings == 0
    assert read_radiograph(path, covering=150).halvings == 1


def test_signed_samples_keep_their_sign(tmp_path: Path) -> None:
    """A signed JPEG 2000 film of fewer bits than it is stored in keeps its negative values."""
    words = (gradient().astype(np.int16) >> 5) - 60
    stream = bytes(imagecodecs.jpeg2k_encode(words.astype(np.int8), level=0, reversible=True, codecformat="J2K"))
    header = {"Rows": 60, "Columns": 80, "PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15}
    path = save(film(encapsulate([stream]), **header), tmp_path / "f.dcm", uid.JPEG2000Lossless)
    np.testing.assert_array_equal(read_radiograph(path).frames[0].view(np.int16), words)


@pytest.mark.parametrize("fragments", [1, 3])
def test_frames_are_told_apart(fragments: int, tmp_path: Path) -> None:
    """Each frame of a multi-frame object comes out alone, in order, whatever its number of fragments."""
    frames = [gradient(), gradient()[::-1], gradient()[:, ::-1]]
    streams = [bytes(imagecodecs.jpegls_encode(np.ascontiguousarray(frame))) for frame in frames]
    data = encapsulate(streams, fragments_per_frame=fragments)
    path = save(film(data, Rows=60, Columns=80, NumberOfFrames=3), tmp_path / "f.dcm", uid.JPEGLSLossless)
    np.testing.assert_array_equal(np.stack(read_radiograph(path).frames), np.stack(frames))


def test_codestream_says_what_it_is() -> None:
    """Size, depth and components are read from the stream before it is decoded."""
    for encode in (imagecodecs.jpegls_encode, imagecodecs.ljpeg_encode, imagecodecs.jpeg2k_encode):
        stream = inspect(bytes(encode(gradient())))
        assert (stream.rows, stream.columns, stream.components) == (60, 80, 1)
