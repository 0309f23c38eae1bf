"""The films that the model is most wrong about."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.labelled import labelled
from training.report.gallery import SHOWN, worst
from worker.model.artifact import OperatingPoint, default_directory, load_card


@pytest.fixture(scope="module")
def point() -> OperatingPoint:
    """An operating point at logit 0."""
    return load_card(default_directory()).operating_point.model_copy(update={"threshold_logit": 0.0})


def _maps(rows: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.repeat(rows.astype(np.float32)[:, None, None], 7, axis=1).repeat(7, axis=2)


def test_each_film_has_its_own_map(point: OperatingPoint) -> None:
    """Film 2 is the worst miss, film 0 the next; film 1 was found. Each is marked as strongly as its map says."""
    films = labelled(np.zeros((3, 14, 14), np.uint8), [1, 1, 1])
    first, second = worst(1, np.array([-1, 1, -2], np.float32), films, point, _maps)
    assert [first.name, second.name] == ["film2", "film0"]
    assert (first.logit, first.probability < second.probability) == (-2, True)
    assert first.marked is not None
    assert second.marked is not None
    assert first.marked[7, 7, 0] > 0
    assert not second.marked.any()  # a map of zeros on a black film


def test_only_the_worst_are_asked_for_maps(point: OperatingPoint) -> None:
    """Of thirty false alarms twelve are scored again, and none where there is none."""
    asked: list[int] = []

    def counting(rows: NDArray[np.int64]) -> None:
        asked.append(len(rows))

    films = labelled(np.zeros((30, 14, 14), np.uint8), [0] * 30)
    shown = worst(0, np.arange(1, 31, dtype=np.float32), films, point, counting)
    assert [exhibit.name for exhibit in shown] == [f"film{row}" for row in range(29, 29 - SHOWN, -1)]
    assert all(exhibit.marked is None for exhibit in shown)
    assert worst(1, np.arange(1, 31, dtype=np.float32), films, point, counting) == []
    assert asked == [SHOWN]
