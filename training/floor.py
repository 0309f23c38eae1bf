"""The dumb floor: how far one gets without looking at the lungs. A model is worth what it has beyond that. Pure."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from sklearn.metrics import pairwise_distances_argmin

from training.evaluation import auc
from training.films import Films

_FRONTAL = ("AP", "PA")
_NEIGHBOUR_SIDE = 16  # side of the thumbnails whose nearest neighbour is asked, pixels


class Floor(BaseModel):
    """What shortcuts reach on a set of films.

    Attributes:
        areas: AUC by shortcut; a shortcut that the films cannot answer is left out. `file size`, `mean grey level`,
            `aspect ratio` and `AP view` count in whichever direction they work, 0.5 to 1; `AP view` is measured on the
            films known to be AP or PA. `nearest thumbnail` is the label of the most similar training film.
    """

    model_config = ConfigDict(frozen=True)

    areas: dict[str, float]

    def lines(self) -> list[str]:
        """Say it in sentences, the best shortcut first."""
        best_first = sorted(self.areas.items(), key=lambda entry: -entry[1])
        return [f"AUC of {name} alone: {area:.3f}" for name, area in best_first]


def dumb_floor(judged: Films, training: Films | None = None) -> Floor:
    """Measure what shortcuts reach.

    Args:
        judged: the films that the model is judged on.
        training: films of other patients, for the nearest thumbnail; None leaves it out.
    """
    areas = {name: _either_way(values, judged.labels) for name, values in _shortcuts(judged).items()}
    areas["AP view"] = _view_alone(judged)
    if training is not None and len(training) and len(judged):
        areas["nearest thumbnail"] = auc(_nearest_labels(judged, training), judged.labels)
    return Floor(areas={name: area for name, area in areas.items() if area is not None})


def thumbnails(pixels: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Average films over blocks.

    Args:
        pixels: (N, S, S); rows and columns beyond the last whole block are left out.
        side: of the thumbnails, at most S.

    Returns:
        Grey levels, (N, side, side).
    """
    block = pixels.shape[1] // side
    whole = pixels[:, : block * side, : block * side]
    blocks = whole.reshape(len(pixels), side, block, side, block)
    small: NDArray[np.float32] = blocks.mean(axis=(2, 4), dtype=np.float32)
    return small


def _shortcuts(films: Films) -> dict[str, NDArray[np.float32]]:
    return {
        "file size": films.file_bytes.astype(np.float32),
        "mean grey level": films.pixels.mean(axis=(1, 2), dtype=np.float32),
        "aspect ratio": films.aspects,
    }


def _view_alone(films: Films) -> float | None:
    known = films.take(np.isin(films.views, _FRONTAL))
    one_view = len(np.unique(known.views)) < len(_FRONTAL)
    return None if one_view else _either_way((known.views == "AP").astype(np.float32), known.labels)


def _either_way(values: NDArray[np.float32], labels: NDArray[np.int64]) -> float | None:
    area = auc(values, labels)
    return None if area is None else max(area, 1 - area)


def _nearest_labels(judged: Films, training: Films) -> NDArray[np.float32]:
    asked, known = (thumbnails(films.pixels, _NEIGHBOUR_SIDE).reshape(len(films), -1) for films in (judged, training))
    nearest = pairwise_distances_argmin(asked, known)
    labels: NDArray[np.float32] = training.labels[nearest].astype(np.float32)
    return labels
