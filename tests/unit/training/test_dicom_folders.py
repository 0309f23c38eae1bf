"""DICOM folders with a table of labels, as the RSNA challenge lays them out."""

from pathlib import Path

import numpy as np
import pytest

from dicom_io.phantom import phantom_dataset
from training.datasets import find_cases, find_parts
from training.errors import DataError
from training.films import load_films
from worker.model.input_spec import InputSpec

HEADER = "patientId,x,y,width,height,Target\n"
LINES = HEADER + "sick,264.0,152.0,213.0,379.0,1\nsick,562.0,152.0,256.0,453.0,1\nwell,,,,,0\n"


@pytest.fixture
def rsna(tmp_path: Path) -> Path:
    """Two films, one of them with two boxes, and the files that lie beside them in the challenge."""
    folder = tmp_path / "rsna"
    for images in ("stage_2_train_images", "stage_2_test_images"):
        (folder / images).mkdir(parents=True)
    for seed, key in enumerate(("sick", "well")):
        film = phantom_dataset(seed, opacity=key == "sick", rows=64, columns=48, patient_id=key, patient_age="051Y")
        film.save_as(folder / "stage_2_train_images" / f"{key}.dcm", enforce_file_format=True)
    (folder / "stage_2_train_labels.csv").write_text(LINES)
    (folder / "stage_2_detailed_class_info.csv").write_text("patientId,class\nsick,Lung Opacity\nwell,Normal\n")
    return folder


@pytest.mark.parametrize("named", ["", "stage_2_train_labels.csv"])
def test_several_boxes_are_one_film(rsna: Path, named: str) -> None:
    """The folder and its table name the same films, whichever part is asked for; the header gives age and view."""
    cases = find_cases(rsna / named, "train")
    assert [(case.name, case.label, case.patient) for case in cases] == [
        ("stage_2_train_images/sick.dcm", 1, "stated/sick"),
        ("stage_2_train_images/well.dcm", 0, "stated/well"),
    ]
    assert find_parts(rsna / named) == {"all": cases}
    films, unreadable = load_films(cases, InputSpec())
    assert (films.views.tolist(), films.ages.tolist(), films.sources.tolist()) == (["AP"] * 2, [51] * 2, ["rsna"] * 2)
    np.testing.assert_allclose(films.aspects, 0.75)
    assert unreadable == []


def test_films_may_lie_beside_a_table_of_any_name(rsna: Path) -> None:
    """A site's own table with the same two columns will do."""
    table = rsna / "stage_2_train_images" / "mine.csv"
    table.write_text("patientId,Target\nwell,0\n")
    assert [case.name for case in find_cases(table)] == ["well.dcm"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LINES + "sick,,,,,0\n", "line 5: patientId sick has Target 0 and 1"),
        (HEADER + "sick,,,,,2\n", "line 2: Target '2' is neither 0 nor 1"),
        (HEADER + "../sick,,,,,1\n", r"line 2: patientId '\.\./sick' is no file name"),
        (HEADER + ",,,,,1\n", "line 2: patientId '' is no file name"),
        (
            LINES + "gone,,,,,1\nlost,,,,,0\n",
            r"lists 2 files that are not there, first: stage_2_train_images/gone\.dcm",
        ),
        (HEADER, "holds no labelled films"),
        ("patientId,class\nsick,Normal\n", "needs the columns patientId and Target, it has: patientId, class"),
    ],
)
def test_a_wrong_table_is_one_clear_error(rsna: Path, text: str, message: str) -> None:
    """The message names the table, the line and what is wrong."""
    (rsna / "stage_2_train_labels.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        find_cases(rsna)
