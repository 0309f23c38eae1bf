"""Pictures for people: what the network saw, and where it looked."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.model.overlay import overlay


def save_film(film: NDArray[np.uint8], path: Path) -> None:
    """Write a prepared film, uint8 (rows, columns), as a grey PNG."""
    Image.fromarray(film).save(path)


def save_overlay(film: NDArray[np.uint8], activation_map: NDArray[np.float16], path: Path) -> None:
    """Write a film with its activation map over it as a colour PNG.

    Args:
        film: prepared film, uint8 (rows, columns).
        activation_map: float16 (h, w), in units of the logit.
        path: the PNG file.
    """
    Image.fromarray(overlay(film, activation_map)).save(path)
