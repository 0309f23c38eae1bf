"""The films that the model is most wrong about, and where it looked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.evaluation import flagged
from training.films import Films
from worker.model.artifact import OperatingPoint
from worker.model.overlay import overlay

SHOWN = 12
# Activation maps (n, h, w) in units of the logit of the films of n rows; None where the architecture has none.
Maps = Callable[[NDArray[np.int64]], NDArray[np.float32] | None]


@dataclass(frozen=True, slots=True, eq=False)
class Exhibit:
    """A film that is shown.

    Attributes:
        name: of the film.
        logit, probability: as the model answered.
        film: uint8 (size, size).
        marked: uint8 (size, size, 3), the film with its activation map; None where there is no map.
    """

    name: str
    logit: float
    probability: float
    film: NDArray[np.uint8]
    marked: NDArray[np.uint8] | None


def worst(
    label: int, logits: NDArray[np.float32], films: Films, point: OperatingPoint, maps: Maps | None
) -> list[Exhibit]:
    """Collect up to twelve films of a class that are flagged wrongly, the most wrong first.

    Args:
        label: 1 for false negatives, 0 for false positives.
        logits: (N,).
        films: as scored.
        point: threshold.
        maps: where the model looked.
    """
    wrong = np.flatnonzero((films.labels == label) & (flagged(logits, point) != bool(label)))
    order = np.argsort(logits[wrong] if label else -logits[wrong], kind="stable")
    rows = wrong[order[:SHOWN]]
    looked = maps(rows) if maps and len(rows) else None
    marked = (
        [None] * len(rows)
        if looked is None
        else [overlay(films.pixels[row], at) for row, at in zip(rows, looked, strict=True)]
    )
    return [
        Exhibit(
            str(films.names[row]), float(logits[row]), point.probability(float(logits[row])), films.pixels[row], mark
        )
        for row, mark in zip(rows.tolist(), marked, strict=True)
    ]


def draw_sheet(exhibits: Sequence[Exhibit]) -> Figure:
    """Draw a contact sheet: every film beside itself with its map, three pairs in a row."""
    lines = -(-len(exhibits) // 3)
    figure = Figure(figsize=(9.6, 1.95 * lines))
    tight = {
        "left": 0.01,
        "right": 0.99,
        "bottom": 0.01,
        "top": 1 - 0.4 / (1.95 * lines),
        "wspace": 0.04,
        "hspace": 0.3,
    }
    grid = figure.subplots(lines, 3, squeeze=False, gridspec_kw=tight).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, exhibit in zip(grid, exhibits, strict=False):
        film = np.repeat(exhibit.film[..., None], 3, axis=2)
        axes.imshow(film if exhibit.marked is None else np.concatenate((film, exhibit.marked), axis=1))
        axes.set_title(f"{exhibit.name[-44:]}\nlogit {exhibit.logit:.2f}", fontsize=7)
    return figure
