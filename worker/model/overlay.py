"""A film with its activation map over it, for people to look at."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_HOT = np.array([255.0, 60.0, 0.0])  # colour of the evidence
_OPACITY = 0.6
_FULL_EVIDENCE = 8.0  # logit units of one cell that are drawn in full colour


def overlay(film: NDArray[np.uint8], activation_map: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Mix a film and its activation map.

    Evidence for the finding is drawn in orange; evidence against it is not drawn. The scale is the same on every film.

    Args:
        film: prepared film, uint8 (rows, columns).
        activation_map: (h, w), in units of the logit.

    Returns:
        uint8 (rows, columns, 3), RGB.
    """
    share = np.clip(activation_map.astype(np.float32) / _FULL_EVIDENCE, 0, 1) * _OPACITY
    rows, columns = film.shape
    smooth = Image.fromarray(share).resize((columns, rows), Image.Resampling.BICUBIC)
    weight = np.clip(np.asarray(smooth), 0, _OPACITY)[..., None]  # (rows, columns, 1)
    mixed = film[..., None].astype(np.float32) * (1 - weight) + _HOT * weight
    return np.asarray(np.rint(mixed), dtype=np.uint8)
