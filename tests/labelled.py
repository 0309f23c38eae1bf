"""Labelled films in memory, with as much known of them as a test needs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.films import Films


def labelled(
    pixels: NDArray[np.uint8],
    labels: Sequence[int] | NDArray[np.int64],
    *,
    patients: Sequence[str] | None = None,
    hashes: Sequence[str] | None = None,
    views: Sequence[str] | None = None,
    ages: Sequence[float] | None = None,
    sources: Sequence[str] | None = None,
) -> Films:
    """Films `film0`, `film1` …, of a patient each and all different, of one source, unless said otherwise."""
    count = len(labels)
    return Films(
        pixels=pixels,
        labels=np.array(labels, dtype=np.int64),
        patients=np.array(patients or [f"p{row}" for row in range(count)]),
        names=np.array([f"film{row}" for row in range(count)]),
        hashes=np.array(hashes or [f"h{row}" for row in range(count)]),
        sources=np.array(sources or ["drawn"] * count),
        ages=np.array(ages or [np.nan] * count, dtype=np.float32),
        views=np.array(views or [""] * count),
        file_bytes=np.full(count, 1000, dtype=np.int64),
        aspects=np.ones(count, dtype=np.float32),
    )
