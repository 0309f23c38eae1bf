"""A picture without a picture must not pass as screened."""

from pathlib import Path

import pytest

from dicom_io import errors
from dicom_io.reader import read_radiograph
from tests.films import film, gradient, save
from worker.model.input_spec import InputSpec
from worker.model.preprocessing import preprocess


def test_picture_of_one_grey_level(tmp_path: Path) -> None:
    """A window that misses all values leaves a blank, which must not pass for a screened film."""
    path = save(film(gradient(), WindowCenter=-9000, WindowWidth=100), tmp_path / "f.dcm")
    with pytest.raises(errors.UnsupportedObjectError):
        preprocess(read_radiograph(path), InputSpec())
