"""The synthetic radiographs: the same on every platform, plausible, and valid objects."""

import hashlib
import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread, uid

from dicom_io.phantom import PhantomKind, draw, phantom_dataset, self_test_pixels

# The bytes must never change: champions record what they answer to this picture.
SELF_TEST_SHA256 = "ba5e8f43b81b7d082ef9c0da58b2a1277f2c8ba2ac9d37b9a7aa3929dd6cbb77"


def test_self_test_picture_is_the_same_everywhere() -> None:
    """The self-test picture has the recorded bytes, whatever the platform and the version of numpy."""
    pixels = self_test_pixels()
    assert pixels.dtype == np.uint8
    assert pixels.shape == (224, 224)
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == SELF_TEST_SHA256


def test_drawing_is_determined_by_its_arguments() -> None:
    """One seed draws one picture; another seed draws another patient."""
    first = draw(5, opacity=False, rows=64, columns=48)
    assert first.shape == (64, 48)
    assert int(first.max()) <= 4095
    assert np.array_equal(first, draw(5, opacity=False, rows=64, columns=48))
    assert not np.array_equal(first, draw(6, opacity=False, rows=64, columns=48))


@pytest.mark.parametrize("seed", range(4))
def test_lungs_are_dark_and_an_opacity_is_bright(seed: int) -> None:
    """Lung fields are darker than spine and abdomen, and the opacity brightens a part of one lung, nothing else."""
    clear = draw(seed, opacity=False, rows=256, columns=256).astype(int)
    lung, spine, abdomen, air = clear[90:120, 60:80], clear[160:200, 124:132], clear[235:250, 60:100], clear[:20, :40]
    assert air.mean() < lung.mean() < min(spine.mean(), abdomen.mean()) - 800
    opaque = draw(seed, opacity=True, rows=256, columns=256).astype(int)
    brighter = opaque - clear > 300
    assert 0.01 < brighter.mean() < 0.15


@pytest.mark.parametrize("kind", ["CR", "DX", "DX for processing", "SC"])
@pytest.mark.parametrize("monochrome1", [False, True])
def test_objects_are_valid_dicom(kind: PhantomKind, monochrome1: bool, tmp_path: Path) -> None:
    """An independent validator finds no error in any kind of phantom."""
    path = tmp_path / "phantom.dcm"
    dataset = phantom_dataset(1, kind=kind, rows=64, columns=64, monochrome1=monochrome1)
    dataset.save_as(path, enforce_file_format=True)
    answer = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
    assert "Error" not in answer.stderr


@pytest.mark.parametrize(
    "syntax",
    [
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
        uid.RLELossless,
        uid.JPEG2000Lossless,
        uid.JPEGLSLossless,
    ],
)
def test_lossless_transfer_syntaxes_keep_the_pixels(syntax: uid.UID) -> None:
    """What pydicom decodes from a MONOCHROME1 phantom is the negative of the drawing."""
    written = BytesIO()
    dataset = phantom_dataset(2, kind="CR", rows=50, columns=40, monochrome1=True, transfer_syntax_uid=syntax)
    dataset.save_as(written, enforce_file_format=True)
    read = dcmread(BytesIO(written.getvalue()))
    assert read.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(4095 - read.pixel_array, draw(2, opacity=False, rows=50, columns=40))


@pytest.mark.parametrize(
    ("syntax", "kind", "tolerance"),
    [
        (uid.JPEGLosslessSV1, "DX", 0),
        (uid.JPEGExtended12Bit, "DX", 80),
        (uid.JPEGBaseline8Bit, "SC", 8),
    ],
)
def test_dcmtk_reads_the_jpeg_phantoms(syntax: uid.UID, kind: PhantomKind, tolerance: int, tmp_path: Path) -> None:
    """DCMTK decodes the JPEG phantoms to the drawing, as closely as the process allows."""
    phantom_dataset(3, kind=kind, rows=64, columns=64, transfer_syntax_uid=syntax).save_as(
        tmp_path / "jpeg.dcm", enforce_file_format=True
    )
    subprocess.run(["dcmdjpeg", "jpeg.dcm", "raw.dcm"], cwd=tmp_path, check=True, capture_output=True)
    expected = draw(3, opacity=False, rows=64, columns=64).astype(int) >> (4 if kind == "SC" else 0)
    assert np.abs(dcmread(tmp_path / "raw.dcm").pixel_array - expected).max() <= tolerance


def test_names_are_written_in_their_character_set() -> None:
    """An ISO 2022 name is written with escape sequences and read back as it was given."""
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    written = BytesIO()
    dataset = phantom_dataset(4, rows=16, columns=16, character_set=("", "ISO 2022 IR 87"), patient_name=name)
    dataset.save_as(written, enforce_file_format=True)
    assert b"\x1b$B" in written.getvalue()
    assert str(dcmread(BytesIO(written.getvalue())).PatientName) == name


def test_every_object_is_new_unless_it_joins_a_study() -> None:
    """Two phantoms of one seed have UIDs of their own; a given study is kept."""
    first = phantom_dataset(1, rows=16, columns=16)
    second = phantom_dataset(1, rows=16, columns=16, study_instance_uid=str(first.StudyInstanceUID))
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.StudyInstanceUID == second.StudyInstanceUID
