"""Age and view of a film, from tables and from DICOM headers; what cannot be read is unknown, never an error."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset

from dicom_io.phantom import draw, phantom_dataset
from training.datasets import find_cases
from training.facts import Facts, header_facts, stated_facts
from training.films import Films, join_films, load_films
from worker.model.input_spec import InputSpec


@pytest.mark.parametrize(
    ("text", "years"),
    [
        *(("046Y", 46), ("46", 46), (" 46.5 ", 46.5), ("018M", 1.5), ("0", 0)),
        *((text, None) for text in ("411", "-3", "nan", "inf", "old", "", None)),
    ],
)
def test_ages_of_tables(text: str | None, years: float | None) -> None:
    """Numbers are years, age strings are read, and what no patient can be is unknown."""
    assert stated_facts(text, None).age == (years if years is None else pytest.approx(years, abs=0.01))


def test_views_of_tables() -> None:
    """Upper case, and nothing rather than an empty word."""
    assert [stated_facts(None, view).view for view in ("pa ", "", None)] == ["PA", None, None]


def test_a_header_without_a_view_position_may_state_a_code() -> None:
    """The view code speaks where View Position is silent; a bad age string is unknown."""
    header = phantom_dataset(1, rows=8, columns=8, patient_age="")
    header.ViewPosition = ""
    assert header_facts(header) == Facts(None, "AP")
    assert header_facts(Dataset()) == header_facts(None) == Facts()


@pytest.fixture
def mixed(tmp_path: Path) -> Films:
    """A PNG and a DICOM file in class folders, then the same two by a manifest that knows better."""
    for name in ("NORMAL", "PNEUMONIA"):
        (tmp_path / name).mkdir()
    Image.fromarray((draw(1, opacity=False, rows=50, columns=100) >> 4).astype(np.uint8)).save(
        tmp_path / "NORMAL/a.png"
    )
    film = phantom_dataset(2, rows=60, columns=60, patient_age="018M")
    film.save_as(tmp_path / "PNEUMONIA/b.dcm", enforce_file_format=True)
    rows = ("NORMAL/a.png,0,044Y,pa", "PNEUMONIA/b.dcm,1,,LL")
    (tmp_path / "m.csv").write_text("\n".join(("path,label,age,view_position", *rows)))
    films = [load_films(find_cases(data), InputSpec())[0] for data in (tmp_path, tmp_path / "m.csv")]
    return join_films(films)


def test_films_know_age_view_source_size_and_aspect(mixed: Films, tmp_path: Path) -> None:
    """A DICOM header speaks in class folders too, a table outweighs it, and all else is unknown."""
    np.testing.assert_allclose(mixed.ages, [np.nan, 1.5, 44, 1.5], atol=0.01)
    assert mixed.views.tolist() == ["", "AP", "PA", "LL"]
    assert mixed.sources.tolist() == [tmp_path.name] * 4
    assert mixed.aspects.tolist() == [2, 1, 2, 1]
    assert mixed.file_bytes.tolist() == [(tmp_path / name).stat().st_size for name in mixed.names]


def test_facts_stay_with_their_film(mixed: Films) -> None:
    """Taking rows moves every column."""
    taken = mixed.take([2, 1])
    assert (taken.views.tolist(), taken.aspects.tolist()) == (["PA", "AP"], [2, 1])
    assert taken.file_bytes.tolist() == mixed.file_bytes[[2, 1]].tolist()
