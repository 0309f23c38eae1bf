"""Drawn films in class folders, for runs that need no real ones."""

from pathlib import Path

import numpy as np
from PIL import Image

from dicom_io.phantom import draw


def drawn_classes(root: Path, count: int, *, first: int = 0, side: int = 64) -> Path:
    """Draw films, well and sick in turn; the sick are darker, so that a few steps can learn something.

    Args:
        root: made where absent; gets `NORMAL/` and `PNEUMONIA/`.
        count: films.
        first: number of the first film; another number is another film.
        side: rows and columns, pixels.
    """
    for seed in range(first, first + count):
        sick = seed % 2 == 1
        folder = root / ("PNEUMONIA" if sick else "NORMAL")
        folder.mkdir(parents=True, exist_ok=True)
        film = draw(seed, opacity=sick, rows=side, columns=side) >> (6 if sick else 4)
        Image.fromarray(film.astype(np.uint8)).save(folder / f"film{seed}.png")
    return root
