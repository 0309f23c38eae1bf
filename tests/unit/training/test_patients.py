"""Who is on which film: no patient and no picture on both sides of a split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.labelled import labelled
from training.films import Films, split_films
from training.patients import first_of_each, merge_identical, patient_of


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person28_bacteria_142.jpeg", "kermany/bacteria/28"),
        ("person28_virus_63.jpeg", "kermany/virus/28"),
        ("IM-0115-0001.jpeg", "kermany/normal/115"),
        ("NORMAL2-IM-0115-0001-0002.jpeg", "kermany/normal/115"),
        ("00000061_012.jpeg", "nih/61"),
        ("scan.png", None),
    ],
)
def test_patients_are_read_from_known_names(name: str, patient: str | None) -> None:
    """Kermany's number restarts per type; a name of no known collection says nothing."""
    assert patient_of(name) == patient


def test_patients_with_a_common_picture_become_one() -> None:
    """The connection is carried on: a-b and b-c share pictures, so a, b and c are one; d stays alone."""
    assert merge_identical(["a", "b", "b", "c", "d"], ["1", "1", "2", "2", "3"]) == ["a", "a", "a", "a", "d"]
    assert merge_identical(["c", "b", "b", "a"], ["2", "2", "1", "1"]) == ["a", "a", "a", "a"]


def test_of_identical_pictures_the_first_is_kept() -> None:
    """Copies do not count twice."""
    assert first_of_each(["x", "y", "x", "z", "y"]) == [0, 1, 3]


def _films(patients: list[int], pictures: list[int]) -> Films:
    return labelled(
        np.zeros((len(patients), 2, 2), np.uint8),
        [0] * len(patients),
        patients=[f"p{patient}" for patient in patients],
        hashes=[f"h{picture}" for picture in pictures],
    )


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 25)), min_size=1, max_size=60), st.integers(0, 5))
def test_a_split_never_leaks(rows: list[tuple[int, int]], kept_out: int) -> None:
    """Whatever the films: no patient, and no picture, is in two parts, and a barred patient is in none."""
    patients, pictures = [row[0] for row in rows], [row[1] for row in rows]
    train, validation = split_films(_films(patients, pictures), share=0.5, seed=1, kept_out=[f"p{kept_out}"])
    owners = dict(zip([f"film{row}" for row in range(len(rows))], patients, strict=True))
    in_train = {owners[name] for name in train.names.tolist()}
    in_validation = {owners[name] for name in validation.names.tolist()}
    assert not in_train & in_validation
    assert kept_out not in in_train | in_validation
    assert not set(train.hashes.tolist()) & set(validation.hashes.tolist())


def test_more_films_move_no_patient() -> None:
    """A patient's side depends on patient and seed only, so that a held-out patient stays held out."""
    few, many = _films([1, 2, 3, 4], [1, 2, 3, 4]), _films(list(range(30)), list(range(30)))
    small = set(split_films(few, share=0.5, seed=1)[1].patients.tolist())
    large = set(split_films(many, share=0.5, seed=1)[1].patients.tolist())
    assert small == large & set(few.patients.tolist())
    assert large - small
