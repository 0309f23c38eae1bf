"""The shapes of a synthetic chest radiograph, drawn with numpy alone.

Only additions, multiplications, divisions and square roots of float64 and the raw stream of PCG64 are used: IEEE 754
and numpy fix their results, so that a seed draws the same bytes on every platform. Bright is dense, as on a film.

Coordinates: x from -1 (left edge of the picture, the patient's right) to 1, y from -1 (top) to 1 (bottom).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.floating[Any]]

RIBS = 10


class Dice:
    """Uniform random numbers whose sequence depends on the seed alone.

    `numpy.random.Generator` may change its streams between versions; the raw stream of a bit generator may not.
    """

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def between(self, low: float, high: float) -> float:
        """Draw one number in [low, high)."""
        return low + (high - low) * (self._bits.random_raw() >> 11) * 2.0**-53

    def grain(self, rows: int, columns: int) -> Plane:
        """Draw a plane of bell-shaped noise, mean 0, standard deviation about 0.29, shape (rows, columns)."""
        raw = np.asarray(self._bits.random_raw(rows * columns), dtype=np.uint64)
        parts = raw.view(np.uint16).reshape(rows * columns, 4).astype(np.int64)
        total = parts[:, 0] + parts[:, 1] + parts[:, 2] + parts[:, 3]
        return (total / 131070.0 - 1.0).reshape(rows, columns)


class Body(NamedTuple):
    """One imagined patient: what differs from film to film."""

    lung_width: float
    lung_height: float
    diaphragm: float
    heart_width: float
    rib_tilt: float
    build: float

    @classmethod
    def throw(cls, dice: Dice) -> "Body":
        """Imagine a patient."""
        return cls(
            lung_width=dice.between(0.31, 0.36),
            lung_height=dice.between(1.02, 1.14),
            diaphragm=dice.between(0.40, 0.52),
            heart_width=dice.between(0.25, 0.33),
            rib_tilt=dice.between(0.22, 0.34),
            build=dice.between(0.82, 0.93),
        )


def grid(rows: int, columns: int) -> tuple[Plane, Plane]:
    """Return the coordinates of the pixel centres: x of shape (1, columns), y of shape (rows, 1)."""
    x = (np.arange(columns) + 0.5) * (2.0 / columns) - 1.0
    y = (np.arange(rows) + 0.5) * (2.0 / rows) - 1.0
    return x[np.newaxis, :], y[:, np.newaxis]


def soft(distance: Plane, width: float) -> Plane:
    """Turn a signed distance (positive inside) into coverage in [0, 1] with an edge `width` wide."""
    t: Plane = distance / width
    t += 0.5
    np.clip(t, 0.0, 1.0, out=t)
    rest = 2.0 * t
    np.subtract(3.0, rest, out=rest)
    t *= t
    t *= rest
    return t


def ellipse(x: Plane, y: Plane, centre: tuple[float, float], axes: tuple[float, float], edge: float) -> Plane:
    """Cover an upright ellipse of half axes `axes`."""
    u, v = (x - centre[0]) / axes[0], (y - centre[1]) / axes[1]
    return soft((1.0 - np.sqrt(u * u + v * v)) * min(axes), edge)


def stroke(
    x: Plane, y: Plane, start: tuple[float, float], end: tuple[float, float], radii: tuple[float, float]
) -> Plane:
    """Cover a straight vessel or bone; its radius goes from the first to the second of `radii`."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = np.clip(((x - start[0]) * dx + (y - start[1]) * dy) / (dx * dx + dy * dy), 0.0, 1.0)
    off_x, off_y = x - start[0] - along * dx, y - start[1] - along * dy
    radius = radii[0] + (radii[1] - radii[0]) * along
    return soft(radius - np.sqrt(off_x * off_x + off_y * off_y), max(radii) * 1.4)


def near(coordinates: Plane, start: float, end: float, reach: float) -> slice:
    """Return which of the ascending coordinates lie between two, in either order, or within `reach` of them."""
    first, last = np.searchsorted(coordinates, (min(start, end) - reach, max(start, end) + reach))
    return slice(int(first), int(last))


def torso(x: Plane, y: Plane, body: Body) -> Plane:
    """Cover trunk, shoulders and neck."""
    trunk = soft(body.build - 0.05 * (y - 0.2) * (y - 0.2) - np.abs(x), 0.06)
    shoulder_line = -0.86 + 0.30 * np.maximum(np.abs(x) - 0.2, 0.0) + 0.25 * np.maximum(np.abs(x) - 0.6, 0.0)
    return np.maximum(trunk * soft(y - shoulder_line, 0.08), soft(0.24 - np.abs(x) + 0.0 * y, 0.06))


def lung(x: Plane, y: Plane, side: int, body: Body) -> Plane:
    """Cover the lung on one side of the picture (-1 left, 1 right): an egg cut by the dome of the diaphragm."""
    centre = side * (0.12 + body.lung_width)
    level = (y - 0.42) / body.lung_height
    half_width = body.lung_width * np.sqrt(np.maximum(1.0 - level * level, 0.0))
    lean = centre + side * 0.06 * (y - 0.1)
    wall = soft(half_width - 0.03 - np.abs(x - lean), 0.05)
    off = (x - centre) / (body.lung_width * 1.25)
    dome = body.diaphragm + 0.04 * (side + 1) / 2 + 0.30 * off * off
    return wall * soft(dome - y, 0.03)


def heart(x: Plane, y: Plane, body: Body) -> Plane:
    """Cover heart, aortic knob and mediastinum; the apex points to the right of the picture."""
    u, v = x - 0.15, y - (body.diaphragm - 0.13)
    along, across = 0.86 * u + 0.51 * v, 0.86 * v - 0.51 * u
    muscle = soft((1.0 - np.sqrt((along / (body.heart_width + 0.06)) ** 2 + (across / 0.25) ** 2)) * 0.25, 0.05)
    knob = ellipse(x, y, (0.10, -0.30), (0.09, 0.11), 0.05)
    column = soft(0.115 + 0.03 * np.abs(y) - np.abs(x - 0.01), 0.05)
    return np.maximum(np.maximum(muscle, knob), column)


def spine(x: Plane, y: Plane) -> Plane:
    """Cover the vertebral column; the discs between the vertebrae are fainter."""
    phase = (y + 1.0) * 6.5
    saw = np.abs(phase - np.floor(phase) - 0.5) * 2.0
    return soft(0.085 - np.abs(x), 0.04) * (0.65 + 0.35 * soft(0.8 - saw, 0.3))


def ribs(x: Plane, y: Plane, body: Body) -> Plane:
    """Cover the ribs of both sides, rear arcs strong and front arcs faint, with brighter rims."""
    out = np.abs(x) - 0.09
    reach = soft(out, 0.03) * soft(0.12 + 2.05 * body.lung_width - np.abs(x), 0.03)
    total = np.zeros(np.broadcast_shapes(x.shape, y.shape))
    for number in range(RIBS):
        level = -0.74 + 0.135 * number
        rear = level - 0.10 * out * (1.0 - out) * 2.0 + body.rib_tilt * (1.0 + 0.08 * number) * out * out * 1.6
        front = level + 0.30 + 0.42 * (0.75 - np.abs(x)) * (1.0 - 0.4 * out)
        _add_band(total, y, rear, 0.030)
        if number < RIBS - 3:
            _add_band(total, y, front, 0.026, 0.45, soft(np.abs(x) - 0.22, 0.1))
    return total * reach


def _add_band(
    total: Plane, y: Plane, level: Plane, half_width: float, strength: float = 1.0, reach: Plane | float = 1.0
) -> None:
    """Add a bone that follows `level`, shape (1, columns); it covers nothing beyond half its edge outside of it."""
    rows = near(y[:, 0], level.min(), level.max(), half_width + 0.01)
    distance = np.abs(y[rows] - level)
    rims = 0.7 + 0.3 * soft(distance - half_width * 0.6, 0.01)
    total[rows] += soft(half_width - distance, 0.014) * rims * strength * reach  # in this order, to the last bit


def clavicles(x: Plane, y: Plane) -> Plane:
    """Cover both collar bones and the blades of the shoulders."""
    across = np.abs(x)
    bones = stroke(across, y, (0.07, -0.58), (0.34, -0.66), (0.034, 0.026))
    bones = np.maximum(bones, stroke(across, y, (0.34, -0.66), (0.66, -0.74), (0.026, 0.032)))
    blade = stroke(across, y, (0.74, -0.62), (0.66, -0.12), (0.10, 0.03))
    return bones + 0.5 * blade


def vessels(x: Plane, y: Plane, dice: Dice) -> Plane:
    """Cover the hila and the vessels that fan out from them."""
    clear = np.ones(np.broadcast_shapes(x.shape, y.shape))
    for side in (-1, 1):
        clear *= 1.0 - 0.7 * ellipse(x, y, (side * 0.17, -0.05), (0.08, 0.15), 0.12)
        for number in range(12):
            root = (side * dice.between(0.16, 0.21), dice.between(-0.14, 0.06))
            tip = (side * dice.between(0.30, 0.68), -0.55 + 0.09 * number + dice.between(-0.06, 0.06))
            # A stroke covers nothing beyond 1.7 times its larger radius.
            rows, columns = near(y[:, 0], root[1], tip[1], 0.04), near(x[0], root[0], tip[0], 0.04)
            clear[rows, columns] *= 1.0 - 0.6 * stroke(x[:, columns], y[rows], root, tip, (0.022, 0.006))
    return 1.0 - clear


def consolidation(x: Plane, y: Plane, dice: Dice) -> Plane:
    """Cover an ill-defined opacity: a cluster of soft blobs in one mid or lower lung field."""
    side = -1 if dice.between(-1.0, 1.0) < 0 else 1
    focus = (side * dice.between(0.36, 0.52), dice.between(-0.02, 0.26))
    clear = np.ones(np.broadcast_shapes(x.shape, y.shape))
    for _ in range(16):
        centre = (focus[0] + dice.between(-0.15, 0.15), focus[1] + dice.between(-0.17, 0.17))
        axes = (dice.between(0.07, 0.14), dice.between(0.06, 0.13))
        # An ellipse covers nothing beyond half its edge outside of it, here 0.08 where its axes are shorter.
        scale = 1.01 + 0.08 / min(axes)
        rows = near(y[:, 0], centre[1], centre[1], axes[1] * scale)
        columns = near(x[0], centre[0], centre[0], axes[0] * scale)
        clear[rows, columns] *= 1.0 - dice.between(0.2, 0.55) * ellipse(x[:, columns], y[rows], centre, axes, 0.16)
    return 1.0 - clear
