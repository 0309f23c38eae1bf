"""The film with its activation map over it."""

import numpy as np
import pytest

from worker.model.overlay import overlay


@pytest.mark.parametrize("side", [7, 14])  # 14: baseline-cnn
def test_evidence_is_orange_where_it_is_and_the_rest_of_the_film_is_untouched(side: int) -> None:
    """Strong evidence in one corner; evidence against is not drawn."""
    film = np.full((70, 70), 100, np.uint8)
    evidence = np.zeros((side, side), np.float16)
    evidence[0, 0], evidence[-1, -1] = 8, -8
    drawn = overlay(film, evidence)
    assert drawn.shape == (70, 70, 3)
    red, green, blue = drawn[2, 2].tolist()
    assert red > 180
    assert green < 90
    assert blue < green
    assert (drawn[40:, 40:] == 100).all()


def test_the_scale_is_the_same_on_every_film() -> None:
    """Twice the evidence is twice the colour, and it is full from 8 logit units on."""
    film = np.zeros((14, 14), np.uint8)
    at = {units: int(overlay(film, np.full((7, 7), units, np.float32))[7, 7, 0]) for units in (2, 4, 8, 80)}
    assert [at[2], at[4]] == pytest.approx([0.15 * 255, 0.3 * 255], abs=1)
    assert at[8] == at[80] == round(0.6 * 255)
