"""Figures by age, view and source."""

import numpy as np
import pytest

from tests.labelled import labelled
from training.films import Films
from training.subgroups import Subgroup, subgroups_of
from worker.model.artifact import OperatingPoint, default_directory, load_card

AGES = [0.5, 1, 5.9, 6, 17.9, 18, 64.9, 65, 101, float("nan")]


@pytest.fixture(scope="module")
def point() -> OperatingPoint:
    """An operating point at logit 0."""
    return load_card(default_directory()).operating_point.model_copy(update={"threshold_logit": 0.0})


def _films() -> Films:
    views = ["PA"] * 6 + ["AP"] * 3 + [""]
    return labelled(
        np.zeros((10, 2, 2), np.uint8), [0, 1] * 5, ages=AGES, views=views, sources=["one"] * 5 + ["two"] * 5
    )


def _by_name(groups: tuple[Subgroup, ...]) -> dict[tuple[str, str], Subgroup]:
    return {(group.attribute, group.value): group for group in groups}


def test_every_film_is_in_one_group_of_each_kind(point: OperatingPoint) -> None:
    """Bands hold their lower end, the unknown is a group of its own, and groups without films are not there."""
    groups = _by_name(subgroups_of(np.zeros(10, np.float32), _films(), point))
    assert {value: groups["age", value].n for kind, value in groups if kind == "age"} == {
        "under 1 year": 1,
        "1 to 5 years": 2,
        "6 to 17 years": 2,
        "18 to 64 years": 2,
        "65 years and over": 2,
        "unknown": 1,
    }
    assert {value: groups["view", value].n for kind, value in groups if kind == "view"} == {
        "AP": 3,
        "PA": 6,
        "unknown": 1,
    }
    assert [groups["source", value].n for value in ("one", "two")] == [5, 5]


def test_a_group_is_measured_on_its_own_films(point: OperatingPoint) -> None:
    """A model that is right on one source and wrong on the other shows it, and a missing class gives null."""
    films = _films()
    right = np.where(films.labels == 1, 1, -1)
    groups = _by_name(subgroups_of(np.where(films.sources == "one", right, -right).astype(np.float32), films, point))
    good, bad = groups["source", "one"], groups["source", "two"]
    assert (good.auc, good.sensitivity, good.specificity) == (1, 1, 1)
    assert (bad.auc, bad.sensitivity, bad.specificity) == (0, 0, 0)
    infant = groups["age", "under 1 year"]
    assert (infant.positives, infant.auc, infant.sensitivity, infant.specificity) == (0, None, None, 1)


def test_small_groups_say_so(point: OperatingPoint) -> None:
    """Twenty films of each class are enough to be told apart, nineteen are not."""
    for count, few in ((20, False), (19, True)):
        films = labelled(np.zeros((40, 2, 2), np.uint8), [1] * count + [0] * (40 - count))
        assert {group.few for group in subgroups_of(np.zeros(40, np.float32), films, point)} == {few}
