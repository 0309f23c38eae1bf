"""A film with its activation map over it, for people to look at."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FULL_EVIDENCE = 8.0  # logit units of one cell that are drawn in full colour
_HOT = np.array([255.0, 60.0, 0.0])  # colour of the evidence
_OPACITY = 0.6
_MID_GREY = 128


def overlay(film: NDArray[np.uint8], activation_map: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Mix a film and its activation map.

    Evidence for the finding is drawn in orange; evidence against it is not drawn. The scale is the same on every film.

    Args:
        film: prepared film, uint8 (rows, columns), of any size: the map is stretched over it.
        activation_map: (h, w), in units of the logit.

    Returns:
        uint8 (rows, columns, 3), RGB.
    """
    rows, columns = film.shape
    weight = _OPACITY * _evidence(activation_map, rows, columns)[..., None]  # (rows, columns, 1)
    mixed = film[..., None].astype(np.float32) * (1 - weight) + _HOT * weight
    return np.asarray(np.rint(mixed), dtype=np.uint8)


def evidence_levels(activation_map: NDArray[np.floating], rows: int, columns: int) -> NDArray[np.uint8]:
    """Stretch an activation map over a film as `overlay` does, as levels of its colour.

    Args:
        activation_map: (h, w), in units of the logit.
        rows: of the film.
        columns: of the film.

    Returns:
        uint8 (rows, columns): 0 is no evidence or evidence against the finding, 255 is `FULL_EVIDENCE` and more.
    """
    return np.asarray(np.rint(255 * _evidence(activation_map, rows, columns)), dtype=np.uint8)


def evidence_palette() -> NDArray[np.uint8]:
    """Return the colour of each level of evidence as `overlay` draws it over mid-grey: uint8 (256, 3), RGB."""
    drawn = overlay(np.full((1, 256), _MID_GREY, np.uint8), np.linspace(0, FULL_EVIDENCE, 256)[None, :])
    return drawn.reshape(256, 3)


def _evidence(activation_map: NDArray[np.floating], rows: int, columns: int) -> NDArray[np.float32]:
    # As a share of `FULL_EVIDENCE`, shape (rows, columns).
    share = np.clip(activation_map.astype(np.float32) / FULL_EVIDENCE, 0, 1)
    smooth = Image.fromarray(share).resize((columns, rows), Image.Resampling.BICUBIC)
    return np.asarray(smooth).clip(0, 1)
