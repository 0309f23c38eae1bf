"""How the report writes numbers and pictures."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.intervals import Interval

_NOTHING = _TO = "\N{EN DASH}"


def share(value: float | None) -> str:
    """Write a share as per cent with one digit."""
    return _NOTHING if value is None else f"{100 * value:.1f} %"


def area(value: float | None) -> str:
    """Write an AUC with three digits."""
    return _NOTHING if value is None else f"{value:.3f}"


def share_range(interval: tuple[float | None, float | None] | None) -> str:
    """Write an interval of a share; empty without one."""
    low, high = interval or (None, None)
    return "" if low is None or high is None else f"{100 * low:.1f}{_TO}{100 * high:.1f} %"


def area_range(interval: Interval | None) -> str:
    """Write an interval of an AUC; empty without one."""
    return "" if interval is None else f"{interval[0]:.3f}{_TO}{interval[1]:.3f}"


def number(value: float, digits: int) -> str:
    """Write a number with so many digits and a true minus."""
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def picture(pixels: NDArray[np.uint8]) -> str:
    """Put a picture, (rows, columns) or (rows, columns, 3), into a `data:` address as PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
