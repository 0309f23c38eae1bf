"""The film with its activation map over it."""

import numpy as np
import pytest

from worker.model.overlay import evidence_levels, evidence_palette, overlay


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


def test_the_levels_are_the_evidence_of_the_overlay() -> None:
    """255 is full evidence and more, 0 none or evidence against, in the shape of the film."""
    evidence = np.zeros((7, 7), np.float16)
    evidence[:, 0], evidence[:, 6] = 20, -20
    levels = evidence_levels(evidence, 300, 140)
    assert (levels.shape, levels.dtype) == ((300, 140), np.uint8)
    assert (levels[:, 5].min(), levels[:, 100:].max()) == (255, 0)
    assert evidence_levels(np.full((7, 7), 4, np.float16), 14, 14).max() == 128


def test_the_palette_colours_a_level_as_the_overlay_colours_mid_grey() -> None:
    """Whoever knows the overlay reads the coloured map without a second scale."""
    for level in (0, 128, 255):
        evidence = np.full((7, 7), level * 8 / 255, np.float32)
        assert evidence_palette()[level] == pytest.approx(
            overlay(np.full((7, 7), 128, np.uint8), evidence)[3, 3], abs=1
        )
