"""The fast preparation against the slow one, on real files of every coding."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from dicom_io.reader import read_radiograph
from tests.slow_preparation import prepare_slowly
from training.cases import Case
from training.films import load_films
from worker.model.input_spec import InputSpec
from worker.model.preprocessing import prepare, preprocess

SPEC = InputSpec()
FILES = 24


@pytest.fixture(scope="session")
def files(shared_data: Path) -> dict[str, Path]:
    """The real DICOM files by name."""
    found = {path.stem: path for path in sorted((shared_data / "dicom").glob("*/*.dcm"))}
    assert len(found) == FILES
    return found


def test_every_file_agrees_with_the_slow_preparation(files: dict[str, Path]) -> None:
    """At full resolution the mean difference is at most 0.5 and the largest 2 grey levels; as shipped the mean 1.0."""
    table = {}
    for name, path in files.items():
        expected = prepare_slowly(path)
        full = np.abs(preprocess(read_radiograph(path), SPEC) - expected)
        shipped = np.abs(prepare(path) - expected)
        table[name] = (full.mean(), full.max(), shipped.mean(), shipped.max())
    for name, row in table.items():
        sys.stdout.write(f"{name[:60]:62}{' '.join(f'{number:6.3f}' for number in row)}\n")
    means, maxima, shipped_means, _ = np.array(list(table.values())).T
    assert means.max() <= 0.5
    assert maxima.max() <= 2
    assert shipped_means.max() <= 1.0


def test_monochrome1_is_the_negative_of_its_sibling(files: dict[str, Path]) -> None:
    """Two files that differ in the photometric interpretation alone come out as negatives of each other."""
    film = prepare(files["torchxrayvision__1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819"]).astype(int)
    negative = prepare(files["torchxrayvision__Fake_MONOHR1"]).astype(int)
    assert np.abs(film + negative - 255).max() <= 1  # a half rounds up in both


def test_lossless_codings_of_one_film_are_identical(files: dict[str, Path]) -> None:
    """JPEG lossless, JPEG-LS, JPEG 2000 and RLE of one film give the same stored words and the same prepared bytes."""
    films = [read_radiograph(files[f"dicom-test-files__RG2_{coding}"]) for coding in ("JPLL", "JLSL", "J2KR", "RLE")]
    for one, other in itertools.pairwise(films):
        np.testing.assert_array_equal(one.frames[0], other.frames[0])
        np.testing.assert_array_equal(preprocess(one, SPEC), preprocess(other, SPEC))


def test_training_prepares_as_serving_does(files: dict[str, Path], shared_data: Path) -> None:
    """The bytes a model is trained on are the bytes it is given later."""
    chest = [path for path in files.values() if path.parent.name == "chest"]
    chest += sorted((shared_data / "kermany_224" / "val" / "NORMAL").glob("*"))
    films, unreadable = load_films(
        [Case(name=path.name, label=0, patient=path.name, path=path) for path in chest], SPEC
    )
    assert not unreadable
    for row, path in zip(films.pixels, chest, strict=True):
        np.testing.assert_array_equal(row, prepare(path)[0])
