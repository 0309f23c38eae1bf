"""The identity of an object: what is hashed, and which UIDs it must have."""

import hashlib
import io
from pathlib import Path

import pytest
from PIL import Image
from pydicom import Dataset, dcmread, uid
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from dicom_io.errors import MissingAttributeError, TruncatedDataError
from dicom_io.identity import content_sha256, file_meta, sop_instance_reference
from dicom_io.reader import read_radiograph
from tests.films import UIDS, film, gradient, save


def test_the_file_and_the_network_say_the_same(tmp_path: Path) -> None:
    """The hash of a file is that of the data set a C-STORE request carries, and of the radiograph read from it."""
    dataset = film(gradient())
    path = save(dataset, tmp_path / "f.dcm")
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = False, True
    write_dataset(stream, dcmread(path))
    expected = hashlib.sha256(stream.getvalue()).hexdigest()
    assert content_sha256(path) == expected
    assert read_radiograph(path).content_sha256 == expected


def test_file_meta_does_not_count(tmp_path: Path) -> None:
    """Two files that differ in preamble and file meta alone have the same hash."""
    path = save(film(gradient()), tmp_path / "f.dcm")
    dataset = dcmread(path)
    dataset.file_meta.ImplementationVersionName = "OTHER"
    dataset.file_meta.PrivateInformationCreatorUID = "2.25.9"
    dataset.file_meta.PrivateInformation = b"x" * 70_000
    dataset.preamble = b"II*\0" + b"\0" * 124
    dataset.save_as(tmp_path / "g.dcm")
    assert content_sha256(tmp_path / "g.dcm") == content_sha256(path)


def test_a_group_length_that_lies_is_not_believed(tmp_path: Path) -> None:
    """The end of the file meta information is found by its elements."""
    path = save(film(gradient()), tmp_path / "f.dcm")
    raw = bytearray(path.read_bytes())
    before = file_meta(bytes(raw))
    raw[140:144] = b"\x07\x00\x00\x00"
    assert file_meta(bytes(raw)) == before
    assert before.transfer_syntax_uid == uid.ExplicitVRLittleEndian


def test_a_picture_is_its_file(tmp_path: Path) -> None:
    """PNG and JPEG are hashed whole."""
    stream = io.BytesIO()
    Image.new("L", (9, 9), 7).save(stream, "PNG")
    (tmp_path / "f.png").write_bytes(stream.getvalue())
    expected = hashlib.sha256(stream.getvalue()).hexdigest()
    assert content_sha256(tmp_path / "f.png") == expected
    assert read_radiograph(tmp_path / "f.png").content_sha256 == expected


def test_file_meta_that_is_cut(tmp_path: Path) -> None:
    """A file that ends inside its file meta information has no hash."""
    path = save(film(gradient()), tmp_path / "f.dcm")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(TruncatedDataError):
        content_sha256(path)


@pytest.mark.parametrize("keyword", UIDS)
def test_an_object_without_a_uid(keyword: str) -> None:
    """Each of the four UIDs must be there; the message names the one that is not."""
    dataset = Dataset()
    for name, value in UIDS.items():
        setattr(dataset, name, "" if name == keyword else value)
    with pytest.raises(MissingAttributeError, match=keyword):
        sop_instance_reference(dataset)
